// Serves the AIStore door over the object service in memory: `ais_fake_node PORT`, one core, until
// it is killed. For working on the door and on the scripts that drive it; nothing is kept.
#include <cstdio>
#include <cstdlib>

#include "io/cores.h"
#include "io/http/connection.h"
#include "io/memory_disk.h"
#include "node/doors/ais/ais_door.h"
#include "tests/node/doors/fake_service.h"

namespace penstock::node::testing {
namespace {

class DoorHandler final : public io::http::Handler {
public:
    explicit DoorHandler(AisDoor& door) : door_(door) {}
    io::Task<io::http::Response> handle(io::http::Request& request) override {
        return door_.handle(0, request);
    }
    io::http::Response refuse(io::BufferPool& buffers, const io::http::HeadError& error) override {
        return door_.refuse(buffers, error);
    }

private:
    AisDoor& door_;
};

io::Task<void> serve(io::Cores& cores, const NodeIdentity& node) {
    io::Reactor& reactor = cores.reactor(0);
    FakeService service(reactor, cores.buffers(0));
    const Log log = Log::quiet();
    io::MemoryStorage storage;
    const std::unique_ptr<io::BlockingDisk> disk = storage.make_blocking_disk();
    const JobsParts parts{&service,
                          {&reactor},
                          &cores.buffers(0),
                          &cores.pool(),
                          {{disk.get(), &cores.pool()}},
                          &reactor.clock()};
    const auto jobs = co_await Jobs::open(parts, {}, log);
    ASSERT(jobs);
    const Access access(1);
    AisDoor door(service, **jobs, node, access, reactor);
    DoorHandler handler(door);
    io::http::Server server(reactor, cores.buffers(0), handler, {});
    const Result<io::Address> address = io::Address::parse(node.http_address);
    ASSERT(address);
    const auto listener =
        io::Listener::open(reactor, *address, [&](int descriptor) { server.serve(descriptor); });
    ASSERT(listener);
    std::printf("serving at %s\n", node.http_address.c_str());
    std::fflush(stdout);
    io::Event never(reactor);
    co_await never.wait();
}

}  // namespace
}  // namespace penstock::node::testing

int main(int argc, char** argv) {
    using namespace penstock;
    const std::string port = argc > 1 ? argv[1] : "51090";
    const Log log = Log::quiet();
    auto cores = io::Cores::start({.count = 1, .pool_threads = 1}, log);
    ASSERT(cores);
    const node::NodeIdentity node{.node_id = "AbCd1234",
                                  .cluster_uuid = "uVwXyZ123",
                                  .http_address = "127.0.0.1:" + port,
                                  .version = "0.1.0",
                                  .data_path = "/data",
                                  .started_ns = (*cores)->reactor(0).clock().wall_ns()};
    (*cores)->run_on(0, [&] { return node::testing::serve(**cores, node); });
    return 0;
}
