// Channel: a client's end of a connection to a server: bytes and descriptors, both as tasks, in two
// forms. On a reactor a task waits there. The blocking form needs no reactor: its tasks wait inside
// the system call and are done when they return, so that a program without a loop calls the same
// code (finished() gives the value).
//
// A ChannelPool keeps channels to one address and bounds how many there are. The blocking pool may
// be used by many threads and, after a fork, by both processes: the child opens channels of its
// own. The reactor's pool belongs to its core. A channel belongs to whoever took it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"
#include "io/descriptor.h"
#include "io/kernel.h"
#include "io/task.h"

namespace penstock::io {

class Reactor;

class Channel {
public:
    virtual ~Channel() = default;  // closes it; no task on it may be unfinished

    // All of the bytes; `closed` if the server has gone, `timed_out` at the deadline.
    virtual Task<Status> send(Bytes bytes, uint64_t deadline_ns) = 0;
    // At least one byte; 0 at the server's orderly end. Descriptors that came along are appended,
    // in the order in which they were sent.
    virtual Task<Result<size_t>> receive(MutableBytes room, std::vector<Descriptor>& descriptors,
                                         uint64_t deadline_ns) = 0;
    // Nothing has come and the server has not closed its end, as far as the system knows.
    virtual bool is_quiet() const = 0;

    // For whoever uses channels of a pool: whether it has said who it is on this one. New ones have
    // not.
    bool is_introduced = false;
    // The same for TLS (io/tls_channel.h).
    bool is_secured = false;
};

class ChannelPool {
public:
    virtual ~ChannelPool() = default;  // no channel may be out

    // A channel that was given back, or a new one. While `channels_max` are out it waits for one:
    // `timed_out` at the deadline, `closed` or `unavailable` if nobody listens at the address.
    // Each channel is given back with give_back() or drop().
    virtual Task<Result<std::unique_ptr<Channel>>> take(uint64_t deadline_ns) = 0;
    // One on which no reply is outstanding.
    virtual void give_back(std::unique_ptr<Channel> channel) = 0;
    // Closes it.
    virtual void drop(std::unique_ptr<Channel> channel) = 0;
    // Closes those that nobody uses.
    virtual void close_idle() = 0;

    // The clock of all deadlines here.
    virtual uint64_t now_ns() const = 0;
    virtual Task<void> sleep_until(uint64_t time_ns) = 0;
};

std::unique_ptr<ChannelPool> make_blocking_pool(Address address, uint32_t channels_max);
// `reactor` must outlive it. Whoever waits for a channel is not woken by its deadline, but by the
// call before it, which has one of its own.
std::unique_ptr<ChannelPool> make_reactor_pool(Reactor& reactor, Address address,
                                               uint32_t channels_max);

// The value of a task that does not wait on a reactor, as those of the blocking form.
template <typename T>
T finished(Task<T> task) {
    const bool is_done = task.await_ready();
    ASSERT(is_done);
    return task.await_resume();
}

}  // namespace penstock::io
