// SimWorld and its kernels: whole nodes on one thread, in virtual time, from one seed.
//
// Every kernel of a world shares its clock, its network (io/sim_network.h), its descriptors and its
// random numbers. Operations take a random time each and are done in a random order; faults come by
// chance, if asked for, or exactly where a test puts them. Nothing here looks at the system, so the
// same seed and the same program give the same run, and history_digest() says whether they did.
//
// A lone reactor just runs: where a real kernel waits, the time jumps to the next event. Several
// reactors of one world are stepped by run_until(), in an order drawn from the seed.
//
// Files here are few and in memory, enough for what a kernel promises; disks that fail and lose
// power are io/memory_disk.h and io/fault_disk.h.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "io/base/random.h"
#include "io/base/units.h"
#include "io/reactor.h"
#include "io/sim_network.h"
#include "io/sim_schedule.h"

namespace penstock::io {

struct SimWorldOptions {
    SimNetworkOptions network;
    // How long an operation takes before it first looks at its socket, and in all for a file.
    uint64_t socket_ns_max = 5 * ns_per_us;
    uint64_t read_ns_max = 200 * ns_per_us;
    uint64_t write_ns_max = 100 * ns_per_us;
    uint64_t sync_ns_max = 2 * ns_per_ms;
    uint64_t turn_ns = ns_per_us;     // what a turn that does not wait takes
    uint32_t descriptors_max = 4096;  // then -EMFILE, for the whole world
    // Chances, each in a million.
    uint32_t short_per_million = 0;  // a read, write or receive gets fewer bytes than there are
    uint32_t again_per_million = 0;  // a try_ call answers -EAGAIN although it need not
    uint32_t error_per_million = 0;  // a file operation fails with -EIO
};

class SimKernel;

class SimWorld {
public:
    explicit SimWorld(uint64_t seed, const SimWorldOptions& options = {});
    ~SimWorld();  // asserts that its kernels are gone
    SimWorld(const SimWorld&) = delete;
    SimWorld& operator=(const SimWorld&) = delete;

    const Clock& clock() const { return schedule_.clock(); }
    Random& random() { return random_; }
    SimNetwork& network() { return network_; }
    SimWorldOptions& options() { return options_; }
    // Something of the test's own that happens at a time, e.g. a partition that begins.
    void at(uint64_t time_ns, std::function<void()> event) {
        schedule_.at(time_ns, std::move(event));
    }

    // Turns all the reactors until `is_done()`, which is asked after each round, or until
    // `limit_ns` of virtual time have passed. True if it is done.
    bool run_until(std::span<Reactor* const> reactors, const std::function<bool()>& is_done,
                   uint64_t limit_ns);
    // The same until `task`, which runs on any of them, is done; nullopt if it is not in time.
    template <typename T>
    std::optional<T> run(std::span<Reactor* const> reactors, Task<T> task, uint64_t limit_ns);

    // The next operation of `kind`, after `skipped_count` others, does nothing and is done with
    // `result`: -EIO, -ECANCELED, a count that is short.
    void fail_next(OperationKind kind, int32_t result, uint32_t skipped_count = 0);

    // A new file with these bytes.
    int32_t open_file(std::string content);
    const std::string& file_content(int32_t descriptor) const;
    // The socket under a descriptor, for network().reset() and its like.
    SimNetwork::Id socket(int32_t descriptor) const;
    uint32_t descriptor_count() const { return static_cast<uint32_t>(descriptors_.size()); }

    // Of everything that was done so far: equal for equal runs.
    uint64_t history_digest() const { return digest_; }

private:
    friend class SimKernel;
    friend std::unique_ptr<Kernel> make_sim_kernel(SimWorld& world, const std::string& host);

    struct Descriptor {
        SimNetwork::Id socket = SimNetwork::no_socket;
        std::unique_ptr<std::string> file;  // or null
    };
    struct PlannedFault {
        OperationKind kind;
        int32_t result;
        uint32_t skipped_count;
    };

    int32_t add_descriptor(Descriptor descriptor);
    const Descriptor* find(int32_t descriptor) const;
    Descriptor* find(int32_t descriptor);
    std::optional<int32_t> take_fault(OperationKind kind);
    void note(uint64_t what);
    void on_change(SimNetwork::Id socket);
    void advance_when_idle(std::span<Reactor* const> reactors, uint64_t end_ns);

    SimWorldOptions options_;
    SimSchedule schedule_;
    Random random_;
    SimNetwork network_;
    std::map<int32_t, Descriptor> descriptors_;
    std::vector<PlannedFault> faults_;
    std::map<uint32_t, SimKernel*> kernels_;  // by number
    uint32_t last_kernel_number_ = 0;
    bool is_driven_ = false;  // run_until() moves the time, not the kernels
    uint64_t digest_ = 0;
};

// A kernel of `world`, which must outlive it. Its connections come from `host`, and an unspecified
// address to listen on stands for it; kernels of one host are the cores of one node.
std::unique_ptr<Kernel> make_sim_kernel(SimWorld& world, const std::string& host);
inline std::unique_ptr<Kernel> make_sim_kernel(SimWorld& world) {
    return make_sim_kernel(world, "127.0.0.1");
}

// ---------------------------------------------------------------------------------------------

template <typename T>
std::optional<T> SimWorld::run(std::span<Reactor* const> reactors, Task<T> task,
                               uint64_t limit_ns) {
    // Shared, because a task that is not done in time goes on.
    auto value = std::make_shared<std::optional<T>>();
    start_detached([](Task<T> inner, std::shared_ptr<std::optional<T>> out) -> Task<void> {
        out->emplace(co_await inner);
    }(std::move(task), value));
    run_until(reactors, [&] { return value->has_value(); }, limit_ns);
    return std::move(*value);
}

}  // namespace penstock::io
