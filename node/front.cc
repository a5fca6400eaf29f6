#include "node/front.h"

#include <algorithm>
#include <future>

#include "io/base/units.h"

namespace penstock::node {
namespace {

// Connections end without telling core 0; it looks again this often while new ones come.
constexpr uint64_t asking_interval_ns = 10 * ns_per_ms;

io::Task<void> nothing() {
    co_return;
}

class HttpServer final : public ConnectionServer {
public:
    HttpServer(io::Reactor& reactor, io::BufferPool& buffers, io::http::Handler& handler,
               const TlsSlot& tls, const io::http::Limits& limits)
        : server_(reactor, buffers, handler, limits), tls_(tls) {}

    void serve(int descriptor, bool is_tls) override {
        ASSERT(!is_tls || tls_ != nullptr);
        server_.serve(descriptor, is_tls ? tls_ : nullptr);
    }
    uint32_t connection_count() const override { return server_.connection_count(); }
    io::Task<void> stop(uint64_t deadline_ns) override { return server_.stop(deadline_ns); }

private:
    io::http::Server server_;
    const TlsSlot& tls_;
};

}  // namespace

std::unique_ptr<ConnectionServer> make_http_server(io::Cores& cores, uint32_t core,
                                                   io::http::Handler& handler, const TlsSlot& tls,
                                                   const io::http::Limits& limits) {
    return std::make_unique<HttpServer>(cores.reactor(core), cores.buffers(core), handler, tls,
                                        limits);
}

Front::Front(io::Cores& cores, const MakeServer& make_server)
    : cores_(cores), servers_(cores.count()), loads_(cores.count()) {
    for (uint32_t core = 0; core < cores.count(); ++core) {
        cores_.run_on(core, [&] { return make_here(core, make_server); });
    }
}

Front::~Front() {
    ASSERT(is_stopped_);
    for (uint32_t core = 0; core < servers_.size(); ++core) {
        cores_.run_on(core, [this, core] { return destroy_server(core); });
    }
}

io::Task<void> Front::make_here(uint32_t core, const MakeServer& make_server) {
    servers_[core] = make_server(core);
    co_return;
}

Result<io::Address> Front::listen(const io::Address& address, bool is_tls) {
    TRY_STATUS(cores_.run_on(0, [&] { return listen_here(address, is_tls); }));
    return listeners_.back()->address();
}

io::Task<Status> Front::listen_here(io::Address address, bool is_tls) {
    auto listener = io::Listener::open(cores_.reactor(0), address, [this, is_tls](int descriptor) {
        on_connection(descriptor, is_tls);
    });
    if (!listener) co_return fail(listener.error());
    listeners_.push_back(std::move(*listener));
    co_return Status();
}

io::Address Front::adopt(int descriptor, bool is_tls) {
    cores_.run_on(0, [&] { return adopt_here(descriptor, is_tls); });
    return listeners_.back()->address();
}

io::Task<void> Front::adopt_here(int descriptor, bool is_tls) {
    listeners_.push_back(
        io::Listener::adopt(cores_.reactor(0), descriptor,
                            [this, is_tls](int accepted) { on_connection(accepted, is_tls); }));
    co_return;
}

// On core 0.
void Front::on_connection(int descriptor, bool is_tls) {
    loads_[0].connection_count = servers_[0]->connection_count();
    ask_for_loads();
    const auto least = std::ranges::min_element(loads_, {}, &Load::total);
    const auto core = static_cast<uint32_t>(least - loads_.begin());
    if (core == 0) {
        servers_[0]->serve(descriptor, is_tls);
    } else {
        send(core, descriptor, is_tls);
    }
}

void Front::ask_for_loads() {
    const uint64_t now_ns = cores_.reactor(0).now_ns();
    if (now_ns - asked_ns_ < asking_interval_ns) return;
    asked_ns_ = now_ns;
    for (uint32_t core = 1; core < loads_.size(); ++core) send(core, -1, false);
}

// The message is bounded by the accepted connections and the interval; it comes back and is freed.
void Front::send(uint32_t core, int descriptor, bool is_tls) {
    auto deal = std::make_unique<Deal>();
    deal->on_delivery = on_dealt;
    deal->front = this;
    deal->core = core;
    deal->descriptor = descriptor;
    deal->is_tls = is_tls;
    if (descriptor >= 0) ++loads_[core].underway_count;
    cores_.reactor(core).post(*deal.release());
}

void Front::on_dealt(io::Message& message) {
    Deal& deal = static_cast<Deal&>(message);
    ConnectionServer& server = *deal.front->servers_[deal.core];
    if (deal.descriptor >= 0) server.serve(deal.descriptor, deal.is_tls);
    deal.connection_count = server.connection_count();
    deal.on_delivery = on_returned;
    deal.front->cores_.reactor(0).post(deal);
}

void Front::on_returned(io::Message& message) {
    const std::unique_ptr<Deal> deal(static_cast<Deal*>(&message));
    Load& load = deal->front->loads_[deal->core];
    load.connection_count = deal->connection_count;
    if (deal->descriptor >= 0) --load.underway_count;
}

io::Task<void> Front::stop_listeners() {
    for (const std::unique_ptr<io::Listener>& listener : listeners_) co_await listener->stop();
    listeners_.clear();
}

io::Task<void> Front::stop_server(uint32_t core, uint64_t patience_ns) {
    co_await servers_[core]->stop(cores_.reactor(core).now_ns() + patience_ns);
}

io::Task<void> Front::destroy_server(uint32_t core) {
    servers_[core].reset();
    co_return;
}

void Front::stop(uint64_t patience_ns) {
    cores_.run_on(0, [this] { return stop_listeners(); });
    // All at once: each core's connections get the whole time. A connection that was dealt before
    // reaches its core before this does.
    std::vector<std::future<void>> stops;
    for (uint32_t core = 0; core < servers_.size(); ++core) {
        stops.push_back(std::async(std::launch::async, [this, core, patience_ns] {
            cores_.run_on(core, [&] { return stop_server(core, patience_ns); });
        }));
    }
    for (std::future<void>& stop : stops) stop.get();
    // What came back to core 0 from the others lies before this in its mailbox.
    cores_.run_on(0, [] { return nothing(); });
    is_stopped_ = true;
}

}  // namespace penstock::node
