// Copies: what a node must know of itself, kept by a T on each of a few mountpaths and written to
// all of them at once. One that fails, or does not answer, while another one has what was written,
// is behind from then on and is written no more until its owner makes it anew.
//
// Of one core. Its owner makes one call at a time.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/base/log.h"
#include "io/blocking_disk.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "io/wait.h"

namespace penstock::node {

constexpr size_t metadata_homes_max = 3;

// A mountpath's directory.
struct MetadataHome {
    io::BlockingDisk* disk = nullptr;
    io::Pool* pool = nullptr;  // for jobs that wait for it
    bool is_new = false;       // what is there does not count
};

// The first few of several mountpaths.
inline std::vector<MetadataHome> first_of(std::vector<MetadataHome> homes) {
    homes.resize(std::min(homes.size(), metadata_homes_max));
    return homes;
}

template <typename T>
class Copies {
public:
    struct Copy {
        explicit Copy(const MetadataHome& at) : home(at) {}
        MetadataHome home;
        std::unique_ptr<T> kept;  // null: it could not be opened or made
        bool is_behind = false;   // it lacks something that was acknowledged
        bool is_busy = false;     // a job of it has not come back

        bool is_good() const { return kept != nullptr && !is_behind && !is_busy; }
    };
    using Pointer = std::shared_ptr<Copy>;
    // What is done to one copy; whatever it needs is its own, as it may outlive the call.
    using Action = std::function<io::Task<Status>(Pointer)>;

    // `what` the copies are of, for log lines.
    Copies(io::Reactor& reactor, std::string_view what, const Log& log)
        : reactor_(reactor), what_(what), log_(log), gate_(reactor) {}

    const std::vector<Pointer>& all() const { return all_; }
    std::vector<Pointer> good() const {
        std::vector<Pointer> found;
        std::ranges::copy_if(all_, std::back_inserter(found), &Copy::is_good);
        return found;
    }

    // The copies of these homes: those that are known, and for the others new ones without a T.
    std::vector<Pointer> on(const std::vector<MetadataHome>& homes) const {
        std::vector<Pointer> found;
        for (const MetadataHome& home : homes) found.push_back(at(home));
        return found;
    }
    // These and no others from now on.
    void use(std::vector<Pointer> copies) {
        for (Pointer& old : all_) left_.push_back(std::move(old));
        std::erase_if(left_, [](const Pointer& copy) { return !copy->is_busy; });
        all_ = std::move(copies);
    }

    // `action` on each of these at once, which nothing else is done to. Done when all have
    // answered, or after a while if one of them has done it, or others have it (`is_elsewhere`).
    // Then those that have done it are no longer behind, and the rest are. If nobody has it: the
    // first error, and they are what they were.
    io::Task<Status> write(std::vector<Pointer> to, Action action, bool is_elsewhere = false) {
        auto round = std::make_shared<Round>(reactor_);
        round->has_one = is_elsewhere;
        round->left = to.size();
        for (const Pointer& copy : to) {
            ASSERT(!copy->is_busy);
            io::start_detached(act(enter(), round, copy, action(copy)));
        }
        if (to.size() > 1 || is_elsewhere) io::start_detached(expire(enter(), reactor_, round));
        while (round->left > 0 && !(round->is_late && round->has_one)) {
            co_await round->changed.wait();
        }
        round->no_timer.cancel();
        if (!round->has_one) co_return round->first_error;
        for (const Pointer& copy : to) {
            const bool was_behind = copy->is_behind;
            copy->is_behind = std::ranges::find(round->done, copy) == round->done.end();
            if (!copy->is_behind || was_behind) continue;
            const std::string_view reason =
                round->first_error ? "its device does not answer"
                                   : std::string_view(round->first_error.error().context);
            log_.error("a copy could not be written; the others go on",
                       {{"of", std::string_view(what_)}, {"reason", reason}});
        }
        co_return Status();
    }

    // Waits for every job that has not come back. Nothing is written any more.
    io::Task<void> stop() { co_await gate_.close(); }

private:
    // One write on its way.
    struct Round {
        explicit Round(io::Reactor& reactor) : changed(reactor) {}
        void pulse() {
            changed.set();
            changed.reset();
        }
        io::Event changed;
        io::Cancel no_timer;
        size_t left = 0;
        bool has_one = false;
        bool is_late = false;
        std::vector<Pointer> done;
        Status first_error;
    };
    using RoundPointer = std::shared_ptr<Round>;

    // A device that has not answered by then goes on without being waited for.
    static constexpr uint64_t late_ns = 3'000'000'000;

    Pointer at(const MetadataHome& home) const {
        for (const std::vector<Pointer>* known : {&all_, &left_}) {
            const auto found = std::ranges::find_if(
                *known, [&home](const Pointer& copy) { return copy->home.disk == home.disk; });
            if (found != known->end()) return *found;
        }
        return std::make_shared<Copy>(home);
    }

    io::Gate::Pass enter() {
        Result<io::Gate::Pass> pass = gate_.enter();
        ASSERT(pass.has_value());
        return std::move(*pass);
    }

    static io::Task<void> act(io::Gate::Pass, RoundPointer round, Pointer copy,
                              io::Task<Status> action) {
        copy->is_busy = true;
        const Status done = co_await std::move(action);
        copy->is_busy = false;
        if (done) {
            round->has_one = true;
            round->done.push_back(copy);
        } else if (round->first_error) {
            round->first_error = done;
        }
        round->left -= 1;
        round->pulse();
    }
    static io::Task<void> expire(io::Gate::Pass, io::Reactor& reactor, RoundPointer round) {
        if (co_await reactor.sleep(reactor.within_ns(late_ns, &round->no_timer)) != 0) co_return;
        round->is_late = true;
        round->pulse();
    }

    io::Reactor& reactor_;
    std::string what_;
    const Log& log_;
    io::Gate gate_;
    std::vector<Pointer> all_;
    std::vector<Pointer> left_;  // no longer used, but still busy
};

}  // namespace penstock::node
