// Background: one thread of its own for work that a library wants done behind our calls (LevelDB's
// compactions), or none at all: then the work is done where run_pending() is called, which makes
// tests and the simulation repeatable.
//
// submit() from any thread, also from inside the work. The destructor does what was submitted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace penstock::io {

class Background {
public:
    virtual ~Background() = default;
    // Jobs run one after the other, in order.
    virtual void submit(std::function<void()> job) = 0;
    virtual bool has_thread() const = 0;
    // Without a thread: does what was submitted. With one: nothing.
    virtual void run_pending() = 0;
    // Of the calling thread. Without a background thread there is nothing to wait for: returns.
    virtual void sleep_ns(uint64_t ns) = 0;
};

std::unique_ptr<Background> make_background_thread();
std::unique_ptr<Background> make_inline_background();

}  // namespace penstock::io
