#include "bench/load/worker.h"

#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>

namespace penstock::bench {

uint64_t now_ns() {
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

void Tally::add(const Tally& other) {
    latency.add(other.latency);
    for (size_t op = 0; op < op_count; ++op) latency_by_op[op].add(other.latency_by_op[op]);
    operations += other.operations;
    errors += other.errors;
    bytes += other.bytes;
    missed_schedules += other.missed_schedules;
    end_ns = std::max(end_ns, other.end_ns);
    if (first_error.empty()) first_error = other.first_error;
}

Worker::Worker(const Options& options, const ServerAddress& address, const Content& content,
               Workload workload, uint32_t connections, uint32_t clients)
    : options_(options),
      workload_(std::move(workload)),
      protocol_(make_protocol(options)),
      clients_(clients),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      states_(connections),
      events_(std::min<size_t>(connections, 1024)) {
    connections_.reserve(connections);
    for (uint32_t index = 0; index < connections; ++index) {
        connections_.emplace_back(address, *protocol_, content);
    }
}

void Worker::create_bucket() {
    if (!open(0)) return;
    connections_[0].add_create_bucket({now_ns(), 0, Op::put});
    ++in_flight_;
    mark_dirty(0);
    is_exhausted_ = true;
    plan_.end_ns = now_ns();
    while (in_flight_ > 0 && now_ns() < plan_.end_ns + grace_ns) {
        send_dirty();
        wait(now_ns());
    }
    connections_[0].close();
}

void Worker::run(const Plan& plan) {
    plan_ = plan;
    prctl(PR_SET_TIMERSLACK, 1);
    for (size_t index = 0; index < connections_.size(); ++index) {
        if (!open(index)) over(index);
        mark_free(index);
    }
    if (plan_.rate_per_s == 0) {
        for (uint32_t client = 0; client < clients_; ++client) {
            begin_on(client % connections_.size(), now_ns());
        }
    }
    for (uint64_t now = now_ns(); !is_finished(now); now = now_ns()) {
        if (closed_count_ > 0) reopen(now);
        begin_due(now);
        send_dirty();
        wait(now);
    }
    give_up(now_ns());
}

bool Worker::open(size_t index) {
    if (!connections_[index].open()) return false;
    epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.u64 = index}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connections_[index].descriptor(), &event);
    states_[index].is_watched_for_room = true;
    return true;
}

void Worker::watch(size_t index, bool wants_room) {
    if (states_[index].is_watched_for_room == wants_room) return;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
    if (wants_room) event.events |= EPOLLOUT;
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connections_[index].descriptor(), &event);
    states_[index].is_watched_for_room = wants_room;
}

void Worker::mark_dirty(size_t index) {
    if (states_[index].is_dirty) return;
    states_[index].is_dirty = true;
    dirty_.push_back(index);
}

void Worker::mark_free(size_t index) {
    if (plan_.rate_per_s == 0 || states_[index].is_free) return;
    states_[index].is_free = true;
    free_.push_back(index);
}

// The next operation, on this connection, which has room. False: there is none any more.
bool Worker::begin_on(size_t index, uint64_t since_ns) {
    const std::optional<Operation> operation = is_exhausted_ ? std::nullopt : workload_.next();
    if (!operation) {
        is_exhausted_ = true;
        return false;
    }
    connections_[index].add(*operation, {since_ns, operation->bytes, operation->op});
    ++begun_;
    ++in_flight_;
    mark_dirty(index);
    return true;
}

uint64_t Worker::due_ns(uint64_t number) const {
    const double after = static_cast<double>(number) * 1e9 / plan_.rate_per_s;
    return plan_.begin_ns + plan_.offset_ns + static_cast<uint64_t>(after);
}

void Worker::begin_due(uint64_t now) {
    if (plan_.rate_per_s == 0) return;
    for (uint64_t due = due_ns(begun_); due <= now && due < plan_.end_ns && !free_.empty();
         due = due_ns(begun_)) {
        const size_t index = free_.back();
        if (!begin_on(index, due)) return;
        if (now - due > missed_ns) ++tally_.missed_schedules;
        if (connections_[index].has_room()) continue;
        states_[index].is_free = false;
        free_.pop_back();
    }
}

void Worker::send(size_t index) {
    if (!connections_[index].is_open()) return;
    switch (connections_[index].send()) {
        case Connection::Sent::all:
            watch(index, false);
            return;
        case Connection::Sent::blocked:
            watch(index, true);
            return;
        case Connection::Sent::broken:
            over(index);
    }
}

void Worker::send_dirty() {
    // What breaks meanwhile is opened again and becomes dirty once more: for the next turn.
    std::vector<size_t> dirty;
    dirty.swap(dirty_);
    for (const size_t index : dirty) {
        states_[index].is_dirty = false;
        send(index);
    }
    if (dirty_.empty()) {
        dirty.clear();
        dirty_.swap(dirty);
    }
}

void Worker::handle(const epoll_event& event) {
    const auto index = static_cast<size_t>(event.data.u64);
    if ((event.events & EPOLLOUT) != 0) send(index);
    if ((event.events & ~static_cast<uint32_t>(EPOLLOUT)) == 0) return;
    if (!connections_[index].is_open()) return;
    const bool goes_on = connections_[index].receive(
        buffer_, [&](const Reply& reply, const Flight& flight) { answered(index, reply, flight); });
    if (!goes_on) over(index);
}

void Worker::answered(size_t index, const Reply& reply, const Flight& flight) {
    const uint64_t now = now_ns();
    --in_flight_;
    const bool is_put = flight.op == Op::put;
    if (reply.is_error) {
        note_error(flight, reply.error, now);
    } else if (!is_put && reply.bytes < flight.bytes) {
        note_error(flight,
                   "an answer of " + std::to_string(reply.bytes) + " bytes where " +
                       std::to_string(flight.bytes) + " were asked for",
                   now);
    } else {
        const uint64_t took = now - std::min(now, flight.since_ns);
        tally_.latency.record(took);
        tally_.latency_by_op[static_cast<size_t>(flight.op)].record(took);
        tally_.bytes += is_put ? flight.bytes : std::max(reply.bytes, flight.bytes);
        tally_.end_ns = now;
        done_.store(++tally_.operations);
    }
    if (plan_.rate_per_s == 0) {
        if (now < plan_.end_ns) begin_on(index, now);
    } else {
        mark_free(index);
    }
}

void Worker::note_error(const Flight& flight, std::string_view error, uint64_t now) {
    ++tally_.errors;
    const uint64_t took = now - std::min(now, flight.since_ns);
    tally_.latency.record(took);
    tally_.latency_by_op[static_cast<size_t>(flight.op)].record(took);
    if (tally_.first_error.empty()) tally_.first_error = error;
}

void Worker::over(size_t index) {
    Connection& connection = connections_[index];
    State& state = states_[index];
    state.is_watched_for_room = false;
    if (connection.is_open() && connection.resume()) {
        epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.u64 = index}};
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.descriptor(), &event);
        state.is_watched_for_room = true;
        return;
    }
    const uint64_t now = now_ns();
    connection.close();
    for (const Flight& flight : connection.take_flights()) {
        --in_flight_;
        ++state.waiting;
        note_error(flight, "the connection ended before the answer came", now);
    }
    state.reopen_at_ns = now + reopen_delay_ns;
    ++closed_count_;
    if (state.is_free) {
        state.is_free = false;
        std::erase(free_, index);
    }
}

void Worker::reopen(uint64_t now) {
    for (size_t index = 0; index < states_.size(); ++index) {
        State& state = states_[index];
        if (state.reopen_at_ns == 0 || state.reopen_at_ns > now) continue;
        if (!open(index)) {
            state.reopen_at_ns = now + reopen_delay_ns;
            continue;
        }
        state.reopen_at_ns = 0;
        --closed_count_;
        mark_free(index);
        const uint32_t waiting = std::exchange(state.waiting, 0);
        if (plan_.rate_per_s > 0 || now >= plan_.end_ns) continue;
        for (uint32_t client = 0; client < waiting; ++client) begin_on(index, now);
    }
}

void Worker::wait(uint64_t now) {
    uint64_t until = now < plan_.end_ns ? plan_.end_ns : plan_.end_ns + grace_ns;
    if (plan_.rate_per_s > 0 && !free_.empty()) {
        const uint64_t due = due_ns(begun_);
        if (due < plan_.end_ns) until = std::min(until, due);
    }
    if (closed_count_ > 0) until = std::min(until, now + reopen_delay_ns);
    if (!dirty_.empty()) until = now;
    constexpr uint64_t wait_ns_max = 1'000'000'000;
    const uint64_t left = std::min(until - std::min(until, now), wait_ns_max);
    const timespec timeout{.tv_sec = static_cast<time_t>(left / 1'000'000'000),
                           .tv_nsec = static_cast<long>(left % 1'000'000'000)};
    const int count = ::epoll_pwait2(epoll_.get(), events_.data(), static_cast<int>(events_.size()),
                                     &timeout, nullptr);
    for (int at = 0; at < count; ++at) handle(events_[static_cast<size_t>(at)]);
}

bool Worker::is_finished(uint64_t now) const {
    if (is_exhausted_ && in_flight_ == 0) return true;
    if (now < plan_.end_ns) return false;
    if (now >= plan_.end_ns + grace_ns) return true;
    const bool is_behind = plan_.rate_per_s > 0 && due_ns(begun_) < plan_.end_ns;
    return in_flight_ == 0 && !is_behind;
}

void Worker::give_up(uint64_t now) {
    for (Connection& connection : connections_) {
        for (const Flight& flight : connection.take_flights()) {
            note_error(flight, "no answer within 10 s after the end", now);
        }
        connection.close();
    }
    if (plan_.rate_per_s == 0) return;
    for (; due_ns(begun_) < plan_.end_ns; ++begun_) {
        ++tally_.missed_schedules;
        note_error({due_ns(begun_), 0, Op::get}, "it could not begin within 10 s after the end",
                   now);
    }
}

}  // namespace penstock::bench
