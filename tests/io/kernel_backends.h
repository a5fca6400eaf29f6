// The three kernels as test parameters: what differs between a system and a simulation when a test
// wants a small buffer, a reset or a full descriptor table.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "io/kernel.h"
#include "io/sim_kernel.h"

namespace penstock::io::testing {

// What both backends on Linux share.
class SystemBackend {
public:
    static void set_small_buffers(Kernel&, int socket) {
        const int bytes = 4096;  // the system doubles it
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    static void finish_sending(Kernel&, int socket) { ::shutdown(socket, SHUT_WR); }
    static void reset(Kernel& kernel, int socket) {
        const linger at_once{1, 0};
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        kernel.close(socket);
    }
    static int open_file(const std::string& content) {
        std::string path = "/tmp/penstock-kernel-test-XXXXXX";
        const int file = mkostemp(path.data(), O_CLOEXEC);
        unlink(path.c_str());
        EXPECT_EQ(write(file, content.data(), content.size()),
                  static_cast<ssize_t>(content.size()));
        return file;
    }
    static std::string content_of(int file, size_t size) {
        std::string content(size + 1, '\0');
        const ssize_t count = pread(file, content.data(), content.size(), 0);
        content.resize(count < 0 ? 0 : static_cast<size_t>(count));
        return content;
    }
    // No further descriptors, until the limit is lifted.
    void forbid_descriptors() {
        getrlimit(RLIMIT_NOFILE, &before_);
        const int next = dup(0);  // the lowest free number: the first that is too high
        ::close(next);
        const rlimit none{static_cast<rlim_t>(next), before_.rlim_max};
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    }
    void allow_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
    static constexpr bool is_simulated = false;

private:
    rlimit before_{};
};

class UringBackend : public SystemBackend {
public:
    static std::unique_ptr<Kernel> make(const KernelOptions& options = {}) {
        Result<std::unique_ptr<Kernel>> kernel = make_uring_kernel(options);
        return kernel ? std::move(*kernel) : nullptr;  // null: not available here
    }
};

class EpollBackend : public SystemBackend {
public:
    static std::unique_ptr<Kernel> make(const KernelOptions& options = {}) {
        return make_epoll_kernel(options).value();
    }
};

class SimBackend {
public:
    std::unique_ptr<Kernel> make(const KernelOptions& = {}) { return make_sim_kernel(world_); }
    void set_small_buffers(Kernel&, int socket) {
        world_.network().set_window(world_.socket(socket), 4096);
    }
    void finish_sending(Kernel&, int socket) {
        world_.network().finish_sending(world_.socket(socket));
    }
    void reset(Kernel& kernel, int socket) {
        world_.network().reset(world_.socket(socket));
        kernel.close(socket);
    }
    int open_file(const std::string& content) { return world_.open_file(content); }
    std::string content_of(int file, size_t) const { return world_.file_content(file); }
    void forbid_descriptors() {
        before_ = world_.options().descriptors_max;
        world_.options().descriptors_max = world_.descriptor_count();
    }
    void allow_descriptors() { world_.options().descriptors_max = before_; }
    SimWorld& world() { return world_; }
    static constexpr bool is_simulated = true;

private:
    SimWorld world_{4711};
    uint32_t before_ = 0;
};

using AllBackends = ::testing::Types<UringBackend, EpollBackend, SimBackend>;

class BackendNames {
public:
    template <typename Backend>
    static std::string GetName(int) {
        if constexpr (std::is_same_v<Backend, UringBackend>) return "uring";
        if constexpr (std::is_same_v<Backend, EpollBackend>) return "epoll";
        return "sim";
    }
};

}  // namespace penstock::io::testing
