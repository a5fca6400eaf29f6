// Where io_uring bites (guide: io_uring, section 8), each trap that applies to our use: short
// sends, cancelling and closing are in kernel_test.cc, for all kernels alike; here is what only the
// ring and its absence have.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstdlib>
#include <functional>

#include "io/base/units.h"
#include "io/cores.h"
#include "io/socket.h"
#include "io/uring_compat.h"

namespace penstock::io {
namespace {

using ::testing::HasSubstr;

// Runs `check` in a child process, which alone suffers what it does to itself. Returns the text
// that `check` returned: empty if all was well.
std::string in_child(const std::function<std::string()>& check) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return "no pipe";
    const pid_t child = fork();
    if (child == 0) {
        const std::string text = check();
        [[maybe_unused]] const ssize_t written = write(ends[1], text.data(), text.size());
        _exit(0);
    }
    close(ends[1]);
    std::string text;
    char buffer[512];
    for (ssize_t count; (count = read(ends[0], buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<size_t>(count));
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) text += " (the child died)";
    return text;
}

// From now on io_uring's three system calls answer with `error`, as Docker's profile (EPERM) and
// some sandboxes (ENOSYS) make them.
bool forbid_io_uring(int error) {
    const auto answer = SECCOMP_RET_ERRNO | static_cast<uint32_t>(error);
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, __NR_io_uring_setup, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, __NR_io_uring_register, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{std::size(program), program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

bool has_io_uring() {
    return make_uring_kernel({}).has_value();
}

Task<Status> echo_once(Reactor& reactor) {
    std::optional<Socket> accepted;
    Event came(reactor);
    auto listener = Listener::open(reactor, Address::parse("127.0.0.1:0").value(), [&](int socket) {
        accepted.emplace(reactor, socket);
        came.set();
    });
    if (!listener) co_return std::unexpected(listener.error());
    const Until until = reactor.within_ns(30 * ns_per_s);
    CO_TRY(Socket client, co_await Socket::connect(reactor, (*listener)->address(), until));
    CO_TRY_STATUS(co_await client.send(as_bytes("hello"), until));
    co_await came.wait();
    std::string text(5, ' ');
    CO_TRY_STATUS(
        co_await accepted->receive_exactly(std::as_writable_bytes(std::span(text)), until));
    co_await (*listener)->stop();
    if (text != "hello") co_return fail(Errc::corrupt, "received " + text);
    co_return Status();
}

// Starts cores and serves one exchange on each; says what went wrong, or the backend's name.
std::string serve_on(Backend backend) {
    auto cores = Cores::start({.count = 2, .backend = backend, .pool_threads = 1}, Log::quiet());
    if (!cores) return cores.error().context;
    std::string answer = (*cores)->backend_name();
    for (const uint32_t core : {0U, 1U}) {
        const Status status =
            (*cores)->run_on(core, [&] { return echo_once((*cores)->reactor(core)); });
        if (!status) answer = status.error().context;
    }
    (*cores)->stop();
    return answer;
}

class ForbiddenTest : public ::testing::TestWithParam<int> {};

TEST_P(ForbiddenTest, TheKernelIsUnavailableAndSaysWhy) {
    const std::string said = in_child([error = GetParam()]() -> std::string {
        if (!forbid_io_uring(error)) return "seccomp refused the filter";
        const auto kernel = make_uring_kernel({});
        if (kernel) return "it was made";
        if (kernel.error().code != Errc::unavailable) return "another code";
        return kernel.error().context;
    });
    EXPECT_THAT(said, HasSubstr("io_uring"));
    EXPECT_THAT(said, HasSubstr(strerror(GetParam())));
}

TEST_P(ForbiddenTest, AutomaticCoresServeThroughEpoll) {
    EXPECT_EQ(in_child([error = GetParam()]() -> std::string {
                  if (!forbid_io_uring(error)) return "seccomp refused the filter";
                  return serve_on(Backend::automatic);
              }),
              "epoll");
}

TEST_P(ForbiddenTest, CoresThatMustHaveTheRingFailAndNameIt) {
    EXPECT_THAT(in_child([error = GetParam()]() -> std::string {
                    if (!forbid_io_uring(error)) return "seccomp refused the filter";
                    return serve_on(Backend::uring);
                }),
                HasSubstr("io_uring"));
}

INSTANTIATE_TEST_SUITE_P(Errors, ForbiddenTest, ::testing::Values(EPERM, ENOSYS),
                         [](const auto& tested) {
                             return tested.param == EPERM ? "EPERM" : "ENOSYS";
                         });

TEST(UringTraps, AutomaticTakesTheRingWhereItIsAllowed) {
    if (!has_io_uring()) GTEST_SKIP() << "not available here";
    EXPECT_EQ(in_child([] { return serve_on(Backend::automatic); }), "uring");
}

// The ring's own memory counts against it in newer systems; then a smaller one is taken.
TEST(UringTraps, ASmallMemlockLimitIsEnough) {
    if (!has_io_uring()) GTEST_SKIP() << "not available here";
    EXPECT_EQ(in_child([]() -> std::string {
                  const rlimit small{64 << 10, 64 << 10};
                  if (setrlimit(RLIMIT_MEMLOCK, &small) != 0) return "no limit";
                  // Root is not bound by the limit. A user of its own: what rings that another
                  // process of the same user just closed still hold would count, too.
                  const auto user = static_cast<uid_t>(1'000'000 + getpid());
                  if (geteuid() == 0 && setuid(user) != 0 && setuid(65534) != 0) return "root";
                  return serve_on(Backend::uring);
              }),
              "uring");
}

// Few descriptors: it says so instead of half starting.
TEST(UringTraps, WithoutDescriptorsCoresFailToStart) {
    const std::string said = in_child([]() -> std::string {
        const rlimit none{5, 5};
        if (setrlimit(RLIMIT_NOFILE, &none) != 0) return "no limit";
        const auto cores = Cores::start({.count = 4, .pool_threads = 1}, Log::quiet());
        if (!cores) return cores.error().context;
        (*cores)->stop();
        return "started";
    });
    EXPECT_THAT(said, HasSubstr(strerror(EMFILE)));
}

// Why we use no direct descriptors: liburing 2.3 adds one to IORING_FILE_INDEX_ALLOC, which wraps
// to zero, and the ring answers with an ordinary descriptor as if nothing had been asked.
TEST(UringTraps, LiburingsDirectOpenNeedsItsFileIndexByHand) {
    io_uring ring;
    if (io_uring_queue_init(8, &ring, 0) != 0) GTEST_SKIP() << "not available here";
    ASSERT_EQ(io_uring_register_files_sparse(&ring, 4), 0);
    const auto open_direct = [&ring](bool by_hand) {
        io_uring_sqe* entry = io_uring_get_sqe(&ring);
        io_uring_prep_openat_direct(entry, AT_FDCWD, "/dev/null", O_RDONLY, 0,
                                    IORING_FILE_INDEX_ALLOC);
        if (by_hand) entry->file_index = ~0U;
        io_uring_submit(&ring);
        io_uring_cqe* completion = nullptr;
        EXPECT_EQ(io_uring_wait_cqe(&ring, &completion), 0);
        const int result = completion->res;
        io_uring_cqe_seen(&ring, completion);
        return result;
    };
    EXPECT_EQ(open_direct(true), 0) << "the first slot of the table";
#ifndef IO_URING_VERSION_MAJOR  // 2.3 does not name itself; 2.4 mended it
    const int descriptor = open_direct(false);
    struct stat about{};
    EXPECT_GT(descriptor, 2);
    EXPECT_EQ(fstat(descriptor, &about), 0) << "an ordinary descriptor after all";
    close(descriptor);
#else
    EXPECT_EQ(open_direct(false), 1);
#endif
    io_uring_queue_exit(&ring);
}

}  // namespace
}  // namespace penstock::io
