// Worker: one thread of the load generator. It begins operations when they are due, or when their
// client has its last answer, and notes how long each took.
//
// In the open loop an operation's time counts from when it was due, not from when a connection was
// free for it: a server that stops for 100 ms delays all that were due meanwhile, and each of them
// is noted with its delay (what leaves them out is called coordinated omission; Tene 2013). What is
// due when the time is up is still served, for at most `grace_ns`; what is then unanswered counts
// as an error, with the time it has waited.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <string>
#include <vector>

#include "bench/load/connection.h"
#include "bench/load/histogram.h"
#include "io/shared_words.h"

namespace penstock::bench {

uint64_t now_ns();

struct Tally {
    Histogram latency;
    std::array<Histogram, op_count> latency_by_op;
    uint64_t operations = 0;  // answered without an error
    uint64_t errors = 0;
    uint64_t bytes = 0;             // of objects, either way
    uint64_t missed_schedules = 0;  // that began more than 1 ms after they were due
    uint64_t end_ns = 0;            // the last answer
    std::string first_error;

    void add(const Tally& other);
};

class Worker {
public:
    // All must outlive it. `connections` are of this thread alone, `clients` too.
    Worker(const Options& options, const ServerAddress& address, const Content& content,
           Workload workload, uint32_t connections, uint32_t clients);

    struct Plan {
        uint64_t begin_ns = 0;
        uint64_t end_ns = UINT64_MAX;  // nothing begins after it
        double rate_per_s = 0;         // this thread's; 0: closed loop
        uint64_t offset_ns = 0;        // of the open loop's first operation
    };
    void run(const Plan& plan);
    // One call, instead of run(). That the bucket is there already is an error like any other: what
    // is put next tells whether it can be used.
    void create_bucket();

    const Tally& tally() const { return tally_; }
    // Any thread, while run() goes on.
    uint64_t done() const { return done_.load(); }

private:
    static constexpr uint64_t grace_ns = 10'000'000'000;
    static constexpr uint64_t missed_ns = 1'000'000;
    static constexpr uint64_t reopen_delay_ns = 10'000'000;

    bool open(size_t index);
    void watch(size_t index, bool wants_room);
    bool begin_on(size_t index, uint64_t since_ns);
    void begin_due(uint64_t now);
    void send(size_t index);
    void send_dirty();
    void handle(const epoll_event& event);
    void answered(size_t index, const Reply& reply, const Flight& flight);
    void over(size_t index);
    void give_up(uint64_t now);
    void note_error(const Flight& flight, std::string_view error, uint64_t now);
    void reopen(uint64_t now);
    void wait(uint64_t now);
    uint64_t due_ns(uint64_t number) const;
    bool is_finished(uint64_t now) const;
    void mark_dirty(size_t index);
    void mark_free(size_t index);

    const Options& options_;
    Workload workload_;
    std::unique_ptr<Protocol> protocol_;
    uint32_t clients_;
    Plan plan_;
    io::Descriptor epoll_;
    std::vector<Connection> connections_;
    struct State {
        bool is_watched_for_room = false;
        bool is_dirty = false;
        bool is_free = false;       // in free_
        uint32_t waiting = 0;       // clients of the closed loop that wait for it to open again
        uint64_t reopen_at_ns = 0;  // 0: it is open
    };
    std::vector<State> states_;
    std::vector<size_t> dirty_;
    std::vector<size_t> free_;  // of the open loop: those with room
    std::vector<std::byte> buffer_;
    std::vector<epoll_event> events_;
    uint64_t begun_ = 0;
    uint64_t in_flight_ = 0;
    size_t closed_count_ = 0;
    bool is_exhausted_ = false;  // the workload has an end, and it came
    Tally tally_;
    io::SharedWord<uint64_t> done_;
};

}  // namespace penstock::bench
