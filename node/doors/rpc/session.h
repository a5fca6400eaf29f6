// Session: the calls of one connection, without the connection: whole messages in, replies out
// through an Outbox, in the order in which they are done. What ends it, and what it holds for its
// client (leases), is here; bytes and sockets are connection.h's.
//
// One core's. Everything a session holds goes with it: a client that dies leaves nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "io/buffer_pool.h"
#include "io/reactor.h"
#include "io/wait.h"
#include "node/doors/request_metrics.h"
#include "node/doors/rpc/declaration.h"
#include "node/doors/rpc/outbox.h"
#include "node/node_identity.h"
#include "node/service/access.h"
#include "node/service/admission.h"
#include "node/service/object_service.h"

namespace penstock::node {
class Jobs;
class MountpathSet;
}  // namespace penstock::node

namespace penstock::node::rpc {

constexpr uint64_t value_bytes_max = 1 << 20;      // of one value in a message
constexpr uint32_t batch_items_max = 16 << 10;     // of one object.get_many
constexpr uint64_t batch_bytes_max = 256 << 20;    // of one that is handed over as a descriptor
constexpr uint64_t leased_bytes_max = 1ULL << 30;  // of all such batches of a core that are leased
constexpr uint32_t leases_max = 1024;              // of one connection
constexpr uint32_t calls_underway_max = 128;       // of one connection: then it is not read
constexpr uint64_t waiting_bytes_max = 4 << 20;    // of replies: then it is not read
constexpr uint64_t batches_underway_max = 8;       // of a core; the others wait
constexpr uint32_t list_limit_max = 10'000;        // entries of one listing
constexpr uint64_t list_bytes_max = 1 << 20;       // of names in one

// What all sessions of a core stand on; all of it outlives them.
struct Context {
    Context(ObjectService& objects, const NodeIdentity& identity, const Access& list,
            io::Reactor& loop, io::BufferPool& pool);
    ~Context();

    ObjectService& service;
    const Access& access;
    Jobs* jobs = nullptr;                // set before the first call
    MountpathSet* mountpaths = nullptr;  // null: of a service without disks
    Admission* admission = nullptr;      // none: everything is taken on
    const NodeIdentity& node;
    io::Reactor& reactor;
    io::BufferPool& buffers;
    uint32_t core;
    RequestMetrics metrics;
    io::Semaphore batches;
    uint64_t leased_bytes = 0;
    // Reads of the last batch had to wait for the disk: the next one is planned by disk offset.
    bool reads_wait = true;
    uint32_t last_batch_bytes = 0;  // how much room the next one probably needs
    std::vector<std::unique_ptr<Call>> free_calls;
};

// What a client holds of ours until it says that it is done: the memory of a batch, which counts
// against the core, or a large object's file, which stays open and as it is.
class Leases {
public:
    explicit Leases(Context& context) : context_(context) {}
    ~Leases();

    // nullopt: `busy`, there is room for no more.
    std::optional<uint64_t> add(std::shared_ptr<const void> kept, uint64_t memory_bytes);
    bool release(uint64_t lease);

private:
    struct Held {
        std::shared_ptr<const void> kept;
        uint64_t memory_bytes;
    };
    Context& context_;
    std::unordered_map<uint64_t, Held> held_;
    uint64_t last_ = 0;
};

class Session {
public:
    // `on_change` is called when there is something to send or a call has ended; never after
    // finish() is done. `passes_descriptors`: the client is on a Unix socket. `principal`: who it
    // is before it logs in.
    Session(Context& context, bool passes_descriptors, Principal principal,
            std::function<void()> on_change);
    ~Session();

    // Begins the call that a whole message asks for; its bytes are not needed any more afterwards.
    // False: after this message the connection must end.
    bool take(Bytes message);
    // Takes no more; waits for the calls that are under way.
    io::Task<void> finish();

    // Takes as many calls as it may have, and as much output as it should hold.
    bool is_full() const {
        return calls_.count() >= calls_underway_max || outbox_.waiting_bytes() >= waiting_bytes_max;
    }
    uint32_t call_count() const { return calls_.count(); }
    Outbox& outbox() { return outbox_; }

private:
    friend class Call;

    void refuse(Call& call, Failure failure);
    io::Task<void> run(std::unique_ptr<Call> call, io::Gate::Pass pass, Admission::Ticket ticket);
    void end(std::unique_ptr<Call> call);

    Context& context_;
    Outbox outbox_;
    Outbox nowhere_;  // for replies to notifications
    Leases leases_;
    io::Gate calls_;
    std::function<void()> on_change_;
    bool passes_descriptors_;
    Principal principal_;
};

}  // namespace penstock::node::rpc
