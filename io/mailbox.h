// Mailbox: how work reaches a core from other threads.
//
// Many senders, one receiver, no lock: a message is a link in a list that senders push to and the
// owner takes whole. Messages belong to their senders and lie in the frames of the tasks that wait
// for them, so the queue is bounded by the tasks that exist and never allocates.
//
// The owner says that it is about to sleep and looks once more; a sender pushes first and looks at
// that flag second (both sequentially consistent), so a message is never left lying while its
// owner sleeps. The sender that finds the flag set wakes the owner, once.
#pragma once

#include <atomic>

namespace penstock::io {

struct Message {
    // Called on the receiving core, once; the message may be destroyed inside.
    void (*on_delivery)(Message&) = nullptr;
    Message* next = nullptr;
};

class Mailbox {
public:
    // From any thread. True if the owner sleeps and must be woken by the caller.
    bool push(Message& message) {
        Message* first = newest_.load(std::memory_order_relaxed);
        do {
            message.next = first;
        } while (!newest_.compare_exchange_weak(first, &message, std::memory_order_seq_cst,
                                                std::memory_order_relaxed));
        return is_sleeping_.exchange(false, std::memory_order_seq_cst);
    }

    // By the owner: everything pushed so far, oldest first, or null.
    Message* take_all() {
        Message* newest = newest_.exchange(nullptr, std::memory_order_seq_cst);
        Message* oldest = nullptr;
        while (newest != nullptr) {
            Message* next = newest->next;
            newest->next = oldest;
            oldest = newest;
            newest = next;
        }
        return oldest;
    }
    bool is_empty() const { return newest_.load(std::memory_order_seq_cst) == nullptr; }

    // By the owner, around a wait: false if a message came and it must not sleep.
    bool begin_sleep() {
        is_sleeping_.store(true, std::memory_order_seq_cst);
        if (is_empty()) return true;
        end_sleep();
        return false;
    }
    void end_sleep() { is_sleeping_.store(false, std::memory_order_seq_cst); }

private:
    std::atomic<Message*> newest_{nullptr};
    std::atomic<bool> is_sleeping_{false};
};

}  // namespace penstock::io
