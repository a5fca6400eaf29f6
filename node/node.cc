#include "node/node.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <future>

#include "io/base/units.h"
#include "io/cgroup.h"
#include "io/cores.h"
#include "io/unix_path.h"
#include "node/doors/ais/text.h"

namespace penstock::node {
namespace {

// SIGTERM to the end takes 10 s at most: what is left is for the store's own stop.
constexpr uint64_t drain_ns = 7 * ns_per_s;

uint32_t core_count(const Settings& settings) {
    return settings.cores == 0 ? io::usable_core_count() : settings.cores;
}

AdmissionLimits admission_limits(const Settings& settings) {
    AdmissionLimits limits = plan_memory(io::usable_memory_bytes(), core_count(settings)).admission;
    if (const auto most = settings.overload.in_flight_max) {
        limits.in_flight_max = {*most, *most, *most / 16 + 1};
    }
    limits.buffer_bytes_max = settings.overload.buffer_bytes_max.value_or(limits.buffer_bytes_max);
    return limits;
}

StorageOptions storage_options(const Settings& settings) {
    StorageOptions options;
    options.paths = settings.data;
    options.allows_missing = settings.allows_missing_mountpath;
    options.cores.count = core_count(settings);
    options.cores.backend = settings.io_backend;
    options.store.segment_bytes = settings.store.segment_bytes;
    options.store.reserve_bytes = settings.store.reserve_bytes;
    options.store.is_compacting = settings.store.is_compacting;
    const MemoryPlan plan = plan_memory(io::usable_memory_bytes(), options.cores.count);
    options.cores.kept_buffer_bytes_max = plan.kept_buffer_bytes_max;
    options.store.catalogue_cache_bytes =
        settings.store.catalogue_cache_bytes.value_or(plan.catalogue_cache_bytes);
    options.service.shard_index_bytes_max =
        settings.archive.index_cache_bytes.value_or(plan.index_cache_bytes);
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
    // About several directories: it says which, and what to do.
    if (error.code == Errc::condition_failed) return {exit_bad_directory, error.context};
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

io::Task<void> set_tls(TlsSlot& slot, TlsSlot tls) {
    slot = std::move(tls);
    co_return;
}

io::Task<void> set_files(Settings::TlsSettings& files, Settings::TlsSettings now) {
    files = std::move(now);
    co_return;
}

io::Task<void> set_list(Access& access, uint32_t core, std::shared_ptr<const AccessList> list) {
    access.set(core, std::move(list));
    co_return;
}

rpc::ServerLimits rpc_limits(const Settings& settings) {
    rpc::ServerLimits limits;
    limits.progress_timeout_ns = settings.http_limits.progress_timeout_ns;
    limits.handshake_timeout_ns = settings.http_limits.head_timeout_ns;
    limits.connections_max = settings.http_limits.connections_max;
    return limits;
}

std::string path_or_text(const io::Address& address) {
    constexpr std::string_view prefix = "unix:";
    return address.is_unix() ? address.text.substr(prefix.size()) : address.text;
}

StartFailure cannot_listen(std::string_view flag, const io::Address& address, const Error& error) {
    return {exit_bad_settings, fmt::format("--{} {}: {}; choose another address, port or path",
                                           flag, path_or_text(address), error.context)};
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
    access_ = std::make_unique<Access>(storage_->cores().count());
    tls_.resize(storage_->cores().count());
    tls_files_.resize(storage_->cores().count());
    if (auto loaded = reload(settings); !loaded) {
        return StartFailure{exit_bad_settings, loaded.error()};
    }
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
    ais_ = std::make_unique<AisDoor>(storage_->service(), storage_->jobs(), identity_, *access_,
                                     cores.reactor(0));
    ais_->manage(storage_->mountpaths());
    ais_->show_certificate([this](uint32_t core) { return tls_[core].get(); },
                           [this](uint32_t core) { return load_certificate(core); });
    ais_->show_log(log_.recent());
    ais_->show_statistics([this](uint32_t core) { return count_requests(core); });
    admin_ = std::make_unique<AdminDoor>(storage_->service(), identity_, *access_,
                                         std::move(admin_cores));
    admin_->show(storage_->mountpaths());
    std::vector<Admission*> admissions;
    for (uint32_t core = 0; core < cores.count(); ++core) {
        admissions_.push_back(std::make_unique<Admission>(admission_limits(settings)));
        admissions.push_back(admissions_.back().get());
    }
    router_ = std::make_unique<Router>(std::move(admissions));
    router_->attach(*ais_, *admin_);
    cores.run_on(0, [this] {
        return let_jobs_yield(storage_->jobs(),
                              [this] { return router_->metrics(0).request_count(); });
    });
    http_ = std::make_unique<Front>(cores, [&](uint32_t core) {
        return make_http_server(cores, core, *router_, tls_[core], settings.http_limits);
    });
    rpc_servers_.resize(cores.count());
    rpc_ = std::make_unique<Front>(cores, [&](uint32_t core) {
        auto server = std::make_unique<rpc::Server>(
            storage_->service(), storage_->jobs(), identity_, *access_, *admissions_[core],
            cores.reactor(core), cores.buffers(core), tls_[core], rpc_limits(settings));
        server->show(storage_->mountpaths());
        rpc_servers_[core] = server.get();
        return server;
    });
}

CoreFigures Node::figures(uint32_t core) const {
    CoreFigures figures{router_->metrics(core),
                        http_->connection_count(core),
                        rpc_->connection_count(core),
                        rpc_servers_[core]->leased_bytes(),
                        storage_->cores().reactor(core).busy_ns(),
                        storage_->cores().buffers(core).outstanding_bytes()};
    figures.requests.add(rpc_servers_[core]->metrics());
    for (size_t work = 0; work < bounded_class_count; ++work) {
        const Admission& admission = *admissions_[core];
        figures.in_flight[work] = admission.in_flight(static_cast<WorkClass>(work));
        figures.refused[work] = admission.refused_count(static_cast<WorkClass>(work));
    }
    return figures;
}

io::Task<RequestMetrics> Node::count_requests(uint32_t core) {
    io::Cores& cores = storage_->cores();
    RequestMetrics sum;
    for (uint32_t other = 0; other < cores.count(); ++other) {
        const auto there = [this, other] { return requests_of(other); };
        sum.add(co_await io::on_core(cores.reactor(core), cores.reactor(other), there));
    }
    co_return sum;
}

io::Task<RequestMetrics> Node::requests_of(uint32_t core) const {
    co_return figures(core).requests;
}

// As reload() does it, for a client; the list of tokens stays.
io::Task<Status> Node::load_certificate(uint32_t core) {
    io::Cores& cores = storage_->cores();
    if (tls_[core] == nullptr) co_return fail(Errc::not_found, "no certificate");
    const Settings::TlsSettings files = tls_files_[core];
    auto loaded = co_await cores.pool().run(cores.reactor(core), [&files] {
        return io::TlsContext::load(files.certificate, files.key);
    });
    if (!loaded) co_return fail(loaded.error());
    const TlsSlot tls = std::move(*loaded);
    for (uint32_t other = 0; other < cores.count(); ++other) {
        const auto there = [this, other, &tls] { return set_tls(tls_[other], tls); };
        co_await io::on_core(cores.reactor(core), cores.reactor(other), there);
    }
    co_return Status();
}

std::optional<StartFailure> Node::listen(const Settings& settings,
                                         const io::Supervisor& supervisor) {
    if (auto failure = adopt(settings, supervisor)) return failure;
    if (auto failure = listen_http(settings)) return failure;
    if (auto failure = listen_rpc(settings)) return failure;
    return listen_rpc_socket(settings);
}

// Inherited sockets stand for the settings' addresses. Clients are told the first one of each,
// which is known before the first of them can connect.
std::optional<StartFailure> Node::adopt(const Settings& settings,
                                        const io::Supervisor& supervisor) {
    for (const io::Supervisor::Listener& listener : supervisor.listeners()) {
        const bool is_http = listener.name == "http";
        if (!is_http && listener.name != "rpc" && listener.name != "rpc-socket") {
            log_.warning("an inherited socket has a name that is not served",
                         {{"name", std::string_view(listener.name)}});
            continue;
        }
        // The socket itself says where it is.
        const bool is_tls = settings.is_tls(
            storage_->cores().reactor(0).kernel().local_address(listener.descriptor));
        const io::Address address = (is_http ? *http_ : *rpc_).adopt(listener.descriptor, is_tls);
        if (is_http && identity_.http_address.empty()) identity_.is_https = is_tls;
        if (!is_http && !address.is_unix()) identity_.is_rpc_tls = is_tls;
        const bool is_open = settings.access.tokens_file.empty() && !settings.is_insecure;
        if (!address.is_loopback() && is_open) {
            return StartFailure{
                exit_bad_settings,
                fmt::format("LISTEN_FDS: other hosts could reach {} without "
                            "credentials; name a list of tokens ([access] tokens_file), "
                            "bind it to 127.0.0.1, or say --insecure",
                            address.text)};
        }
        std::string& told = is_http             ? identity_.http_address
                            : address.is_unix() ? identity_.rpc_socket
                                                : identity_.rpc_address;
        if (told.empty()) told = path_or_text(address);
    }
    return std::nullopt;
}

std::optional<StartFailure> Node::listen_http(const Settings& settings) {
    if (!identity_.http_address.empty()) return std::nullopt;
    for (const io::Address& wanted : settings.http) {
        const bool is_https = settings.is_tls(wanted);
        if (identity_.http_address.empty()) identity_.is_https = is_https;
        warn_of_plain(wanted, is_https);
        const Result<io::Address> address = http_->listen(wanted, is_https);
        if (!address) return cannot_listen("http", wanted, address.error());
        if (identity_.http_address.empty()) identity_.http_address = address->text;
    }
    return std::nullopt;
}

void Node::warn_of_plain(const io::Address& address, bool is_tls) {
    if (!needs_tokens_ || is_tls || address.is_loopback()) return;
    log_.warning("tokens travel in the clear to this address: see [tls]",
                 {{"address", std::string_view(address.text)}});
}

// The default port may be another node's: who did not ask for it gets a free one and is told which.
std::optional<StartFailure> Node::listen_rpc(const Settings& settings) {
    if (!identity_.rpc_address.empty() || !settings.rpc) return std::nullopt;
    const bool is_tls = identity_.is_rpc_tls = settings.is_tls(*settings.rpc);
    warn_of_plain(*settings.rpc, is_tls);
    Result<io::Address> address = rpc_->listen(*settings.rpc, is_tls);
    if (!address && !settings.is_rpc_chosen) {
        log_.warning("the default address of MessagePack-RPC is taken: a free port is used",
                     {{"address", std::string_view(settings.rpc->text)}});
        address = rpc_->listen(settings.rpc->with_port(0), is_tls);
    }
    if (!address) return cannot_listen("rpc", *settings.rpc, address.error());
    identity_.rpc_address = address->text;
    return std::nullopt;
}

std::optional<StartFailure> Node::listen_rpc_socket(const Settings& settings) {
    if (!identity_.rpc_socket.empty() || settings.rpc_socket.empty()) return std::nullopt;
    const io::Address wanted{"unix:" + settings.rpc_socket};
    if (const Status freed = io::make_socket_path_free(settings.rpc_socket); !freed) {
        return cannot_listen("rpc-socket", wanted, freed.error());
    }
    const Result<io::Address> address = rpc_->listen(wanted);
    if (!address) return cannot_listen("rpc-socket", wanted, address.error());
    identity_.rpc_socket = socket_path_ = settings.rpc_socket;
    return std::nullopt;
}

std::string Node::ready_json() const {
    std::string json = "{";
    if (!identity_.http_address.empty()) {
        json += fmt::format("\"http\":\"{}\",", identity_.http_address);
        if (identity_.is_https) json += "\"tls\":true,";
    }
    if (!identity_.rpc_address.empty()) {
        json += fmt::format("\"rpc\":\"{}\",", identity_.rpc_address);
        if (identity_.is_rpc_tls) json += "\"rpc_tls\":true,";
    }
    if (!identity_.rpc_socket.empty()) {
        json += "\"rpc_socket\":";
        ais::append_json_string(json, identity_.rpc_socket);
        json += ',';
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

std::expected<void, std::string> Node::reload(const Settings& settings) {
    std::shared_ptr<const AccessList> list;
    if (!settings.access.tokens_file.empty()) {
        auto read = AccessList::read(settings.access.tokens_file);
        if (!read) return std::unexpected(read.error());
        list = std::make_shared<const AccessList>(std::move(*read));
    } else if (needs_tokens_) {
        // Other hosts may be listened to already.
        return std::unexpected(
            "[access] tokens_file: it cannot be taken away from a node that runs");
    }
    TlsSlot tls;
    if (!settings.tls.certificate.empty()) {
        auto loaded = io::TlsContext::load(settings.tls.certificate, settings.tls.key);
        if (!loaded) return std::unexpected(loaded.error().context);
        tls = std::move(*loaded);
    } else if (has_tls_) {
        return std::unexpected("[tls] certificate: it cannot be taken away from a node that runs");
    }
    needs_tokens_ = list != nullptr;
    has_tls_ = tls != nullptr;
    for (uint32_t core = 0; core < storage_->cores().count(); ++core) {
        storage_->cores().run_on(core, [&] { return set_list(*access_, core, list); });
        storage_->cores().run_on(core, [&] { return set_tls(tls_[core], tls); });
        storage_->cores().run_on(core, [&] { return set_files(tls_files_[core], settings.tls); });
    }
    return {};
}

void Node::stop() {
    if (storage_ == nullptr) return;
    io::Cores& cores = storage_->cores();
    if (rpc_ != nullptr) {
        for (uint32_t core = 0; core < cores.count(); ++core) {
            cores.run_on(core, [&] { return set_draining(*router_, core); });
        }
        // Both at once: each has the whole time.
        std::future<void> rpc_stop =
            std::async(std::launch::async, [this] { rpc_->stop(drain_ns); });
        http_->stop(drain_ns);
        rpc_stop.get();
        if (!socket_path_.empty()) io::remove_socket_path(socket_path_);
        cores.run_on(0, [this] { return ais_->stop(); });
    }
    rpc_.reset();
    http_.reset();
    cores.run_on(0, [this] { return let_jobs_yield(storage_->jobs(), nullptr); });
    router_.reset();
    admin_.reset();
    ais_.reset();
    access_.reset();
    storage_->stop();
    storage_.reset();
}

}  // namespace penstock::node
