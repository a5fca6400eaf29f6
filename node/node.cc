#include "node/node.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>

#include "io/base/units.h"

namespace penstock::node {
namespace {

// SIGTERM to the end takes 10 s at most: what is left is for the store's own stop.
constexpr uint64_t drain_ns = 7 * ns_per_s;

StorageOptions storage_options(const Settings& settings) {
    StorageOptions options;
    options.path = settings.data.front();
    options.cores.count = settings.cores;
    options.cores.backend = settings.io_backend;
    options.store.segment_bytes = settings.store.segment_bytes;
    options.store.reserve_bytes = settings.store.reserve_bytes;
    options.store.catalogue_cache_bytes = settings.store.catalogue_cache_bytes;
    options.service.shard_index_bytes_max = settings.archive.index_cache_bytes;
    return options;
}

// What to do about a directory that cannot be used.
std::string advice_for(const Error& error) {
    switch (error.code) {
        case Errc::unavailable:
            return "stop the other process, or choose another directory or --io-backend";
        case Errc::invalid:
            return "use the release that wrote it, or a newer one";
        case Errc::corrupt:
            return "restore it from a copy, or start with an empty directory";
        case Errc::full:
            return "free some space on its file system";
        default:
            return "check the directory, its parent and its permissions";
    }
}

StartFailure directory_failure(const std::string& path, const Error& error) {
    return {exit_bad_directory,
            fmt::format("--data {}: {}; {}", path, error.context, advice_for(error))};
}

std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

io::Task<void> set_draining(Router& router, uint32_t core) {
    router.set_draining(core);
    co_return;
}

// Jobs give way to whom core 0 serves: connections are dealt evenly, so it has its share of them.
io::Task<void> let_jobs_yield(Jobs& jobs, std::function<uint64_t()> request_count) {
    jobs.yield_to(std::move(request_count));
    co_return;
}

io::Task<void> nothing() {
    co_return;
}

}  // namespace

std::expected<std::unique_ptr<Node>, StartFailure> Node::start(const Settings& settings,
                                                               const io::Supervisor& supervisor,
                                                               const Log& log) {
    std::unique_ptr<Node> node(new Node(log));
    if (auto failure = node->start_parts(settings, supervisor)) {
        node->stop();
        return std::unexpected(std::move(*failure));
    }
    return node;
}

Node::~Node() {
    ASSERT(storage_ == nullptr);
}

std::optional<StartFailure> Node::start_parts(const Settings& settings,
                                              const io::Supervisor& supervisor) {
    auto storage = Storage::open(storage_options(settings), log_);
    if (!storage) return directory_failure(settings.data.front(), storage.error());
    storage_ = std::move(*storage);
    describe();
    make_doors(settings);
    return listen(settings, supervisor);
}

void Node::describe() {
    identity_.node_id = storage_->node_id();
    identity_.cluster_uuid = storage_->cluster_uuid();
    identity_.version = version_text();
    identity_.io_backend = storage_->cores().backend_name();
    identity_.data_path = storage_->path();
    identity_.host_name = host_name();
    identity_.started_ns = storage_->clock().wall_ns();
    identity_.pid = static_cast<uint32_t>(getpid());
    identity_.cores = storage_->cores().count();
}

void Node::make_doors(const Settings& settings) {
    io::Cores& cores = storage_->cores();
    std::vector<AdminDoor::Core> admin_cores;
    for (uint32_t core = 0; core < cores.count(); ++core) {
        admin_cores.push_back({&cores.reactor(core), [this, core] { return figures(core); }});
    }
    ais_ = std::make_unique<AisDoor>(storage_->service(), storage_->jobs(), identity_,
                                     cores.reactor(0));
    admin_ = std::make_unique<AdminDoor>(storage_->service(), identity_, std::move(admin_cores));
    router_ = std::make_unique<Router>(cores.count());
    router_->attach(*ais_, *admin_);
    cores.run_on(0, [this] {
        return let_jobs_yield(storage_->jobs(),
                              [this] { return router_->metrics(0).request_count(); });
    });
    front_ = std::make_unique<HttpFront>(cores, *router_, settings.http_limits);
}

CoreFigures Node::figures(uint32_t core) const {
    return {router_->metrics(core), front_->connection_count(core),
            storage_->cores().reactor(core).busy_ns()};
}

// Inherited sockets stand for the settings' addresses. Clients are told the first one, which is
// known before the first of them can connect.
std::optional<StartFailure> Node::listen(const Settings& settings,
                                         const io::Supervisor& supervisor) {
    bool is_inherited = false;
    for (const io::Supervisor::Listener& listener : supervisor.listeners()) {
        if (listener.name != "http") {
            log_.warning("an inherited socket has a name that is not served",
                         {{"name", std::string_view(listener.name)}});
            continue;
        }
        const io::Address address = front_->adopt(listener.descriptor);
        if (!address.is_loopback() && !settings.is_insecure) {
            return StartFailure{exit_bad_settings,
                                fmt::format("LISTEN_FDS: other hosts could reach {} without "
                                            "credentials; bind it to 127.0.0.1, or say --insecure",
                                            address.text)};
        }
        if (!is_inherited) identity_.http_address = address.text;
        is_inherited = true;
    }
    if (is_inherited) return std::nullopt;
    for (const io::Address& wanted : settings.http) {
        const Result<io::Address> address = front_->listen(wanted);
        if (!address) {
            return StartFailure{exit_bad_settings,
                                fmt::format("--http {}: {}; choose another address or port",
                                            wanted.text, address.error().context)};
        }
        if (identity_.http_address.empty()) identity_.http_address = address->text;
    }
    return std::nullopt;
}

std::string Node::ready_json() const {
    std::string json = "{";
    if (!identity_.http_address.empty()) {
        json += fmt::format("\"http\":\"{}\",", identity_.http_address);
    }
    json += fmt::format(
        "\"node\":\"{}\",\"pid\":{},\"version\":\"{}\",\"io_backend\":\"{}\",\"cores\":{}}}",
        identity_.node_id, identity_.pid, identity_.version, identity_.io_backend, identity_.cores);
    return json;
}

void Node::check_cores() {
    for (uint32_t core = 0; core < storage_->cores().count(); ++core) {
        storage_->cores().run_on(core, [] { return nothing(); });
    }
}

void Node::stop() {
    if (storage_ == nullptr) return;
    io::Cores& cores = storage_->cores();
    if (front_ != nullptr) {
        for (uint32_t core = 0; core < cores.count(); ++core) {
            cores.run_on(core, [&] { return set_draining(*router_, core); });
        }
        front_->stop(drain_ns);
        cores.run_on(0, [this] { return ais_->stop(); });
    }
    front_.reset();
    cores.run_on(0, [this] { return let_jobs_yield(storage_->jobs(), nullptr); });
    router_.reset();
    admin_.reset();
    ais_.reset();
    storage_->stop();
    storage_.reset();
}

}  // namespace penstock::node
