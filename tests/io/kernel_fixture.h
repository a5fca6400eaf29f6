// What the suites of the three kernels share: an operation that remembers, and a fixture that turns
// a kernel and makes pairs of sockets.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/base/random.h"
#include "io/base/units.h"
#include "tests/io/kernel_backends.h"

namespace penstock::io::testing {

inline MutableBytes bytes_of(std::string& text) {
    return std::as_writable_bytes(std::span(text));
}

inline std::string pattern(size_t size, uint64_t seed = 1) {
    Random random(seed);
    std::string text(size, '\0');
    for (char& character : text) character = static_cast<char>(random.next() >> 56);
    return text;
}

// An operation that remembers what was said of it.
struct Waited : Operation {
    uint32_t done_count = 0;
    std::vector<int32_t> accepted;
    std::function<void()> then;

    Waited(OperationKind of, int on, MutableBytes bytes = {}, uint64_t at = 0) {
        kind = of;
        descriptor = on;
        data = bytes.data();
        size = static_cast<uint32_t>(bytes.size());
        offset = at;
        on_done = [](Operation& operation) {
            auto& self = static_cast<Waited&>(operation);
            if (self.is_more) {
                EXPECT_TRUE(self.is_pending);
                self.accepted.push_back(self.result);
            } else {
                EXPECT_FALSE(self.is_pending);
                ++self.done_count;
            }
            if (self.then) self.then();
        };
    }
};

template <typename Backend>
class KernelTest : public ::testing::Test {
protected:
    struct Pair {
        int client = -1;
        int server = -1;
    };

    void SetUp() override {
        kernel_ = backend_.make();
        if (kernel_ == nullptr) GTEST_SKIP() << "not available here";
    }
    void TearDown() override {
        if (kernel_ == nullptr) return;
        for (const int descriptor : open_) kernel_->close(descriptor);
        EXPECT_EQ(kernel_->pending_count(), 0U);
    }

    void remake(const KernelOptions& options) { kernel_ = backend_.make(options); }

    // Turns until it holds; false after ten seconds of the kernel's own time.
    bool turn_until(const std::function<bool()>& holds) {
        const uint64_t end_ns = kernel_->clock().monotonic_ns() + 10 * ns_per_s;
        while (!holds()) {
            if (kernel_->clock().monotonic_ns() > end_ns) return false;
            kernel_->turn(10 * ns_per_ms);
        }
        return true;
    }
    // Turns long enough for whatever can happen by itself to have happened.
    void settle() {
        for (int turn = 0; turn < 20; ++turn) kernel_->turn(Backend::is_simulated ? ns_per_ms : 0);
    }
    int32_t finish(Waited& operation) {
        EXPECT_TRUE(turn_until([&] { return !operation.is_pending; }));
        return operation.result;
    }
    int32_t run(OperationKind kind, int descriptor, MutableBytes bytes = {}, uint64_t offset = 0) {
        Waited operation(kind, descriptor, bytes, offset);
        kernel_->start(operation);
        return finish(operation);
    }
    int32_t send(int socket, std::string bytes) {
        return run(OperationKind::send, socket, bytes_of(bytes));
    }
    std::string receive(int socket, size_t size) {
        std::string bytes(size, '\0');
        const int32_t count = run(OperationKind::receive_all, socket, bytes_of(bytes));
        if (count < 0) return "error " + std::to_string(-count);
        bytes.resize(static_cast<size_t>(count));
        return bytes;
    }

    int keep(int descriptor) {
        EXPECT_GE(descriptor, 0);
        open_.push_back(descriptor);
        return descriptor;
    }
    void close(int descriptor) {
        std::erase(open_, descriptor);
        kernel_->close(descriptor);
    }
    int listen() { return keep(kernel_->listen(Address::parse("127.0.0.1:0").value(), 128)); }
    int open_to(int listener) {
        return keep(kernel_->open_connection(kernel_->local_address(listener)));
    }
    Pair connect_pair(bool has_small_buffers = false) {
        const int listener = listen();
        if (has_small_buffers) backend_.set_small_buffers(*kernel_, listener);
        Waited accept(OperationKind::accept, listener);
        kernel_->start(accept);
        Pair pair;
        pair.client = open_to(listener);
        if (has_small_buffers) backend_.set_small_buffers(*kernel_, pair.client);
        EXPECT_EQ(run(OperationKind::connect, pair.client), 0);
        EXPECT_TRUE(turn_until([&] { return !accept.accepted.empty(); }));
        pair.server = keep(accept.accepted.at(0));
        if (has_small_buffers) backend_.set_small_buffers(*kernel_, pair.server);
        kernel_->cancel(accept);
        EXPECT_EQ(finish(accept), -ECANCELED);
        close(listener);
        return pair;
    }
    int open_file(const std::string& content) { return keep(backend_.open_file(content)); }

    Backend backend_;
    std::unique_ptr<Kernel> kernel_;
    std::vector<int> open_;
};

}  // namespace penstock::io::testing
