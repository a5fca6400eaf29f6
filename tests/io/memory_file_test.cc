#include "io/memory_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "io/kernel.h"
#include "io/unix_path.h"

namespace penstock::io {
namespace {

std::string content_of(int descriptor) {
    std::string text(1 << 16, '\0');
    const ssize_t count = ::pread(descriptor, text.data(), text.size(), 0);
    EXPECT_GE(count, 0);
    text.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
    return text;
}

TEST(MemoryFileTest, WhatIsSealedCannotBeChangedByAnybody) {
    Result<MemoryFile> file = MemoryFile::create("test");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->append(as_bytes("one ")));
    ASSERT_TRUE(file->append(as_bytes("two")));
    EXPECT_EQ(file->size_bytes(), 7U);
    const Result<Descriptor> sealed = file->seal();
    ASSERT_TRUE(sealed);
    EXPECT_EQ(content_of(sealed->get()), "one two");

    EXPECT_EQ(fcntl(sealed->get(), F_GET_SEALS),
              F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    EXPECT_EQ(::pwrite(sealed->get(), "x", 1, 0), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::ftruncate(sealed->get(), 1), -1);
    EXPECT_EQ(::ftruncate(sealed->get(), 100), -1);
    EXPECT_EQ(::mmap(nullptr, 7, PROT_READ | PROT_WRITE, MAP_SHARED, sealed->get(), 0), MAP_FAILED);
    void* mapped = ::mmap(nullptr, 7, PROT_READ, MAP_SHARED, sealed->get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    EXPECT_EQ(std::string(static_cast<const char*>(mapped), 7), "one two");
    ::munmap(mapped, 7);
}

TEST(MemoryFileTest, TakesRangesOfFilesBetweenBytes) {
    Result<MemoryFile> source = MemoryFile::create("source");
    ASSERT_TRUE(source);
    ASSERT_TRUE(source->append(as_bytes("0123456789")));
    const Result<Descriptor> from = source->seal();
    ASSERT_TRUE(from);

    Result<MemoryFile> file = MemoryFile::create("test");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->append(as_bytes("a")));
    ASSERT_TRUE(file->append_file(from->get(), 2, 3));
    ASSERT_TRUE(file->append(as_bytes("b")));
    ASSERT_TRUE(file->append_file(from->get(), 9, 1));
    const Status beyond = file->append_file(from->get(), 9, 2);
    ASSERT_FALSE(beyond);
    EXPECT_EQ(beyond.error().code, Errc::corrupt);
    const Result<Descriptor> sealed = file->seal();
    ASSERT_TRUE(sealed);
    EXPECT_EQ(content_of(sealed->get()), "a234b99");
}

TEST(MemoryFileTest, AReopenedFileSharesNoFlagsAndCannotBeWritten) {
    Result<MemoryFile> file = MemoryFile::create("test");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->append(as_bytes("content")));
    const Result<Descriptor> ours = file->seal();
    ASSERT_TRUE(ours);
    const Result<Descriptor> theirs = reopen_for_reading(ours->get());
    ASSERT_TRUE(theirs);
    EXPECT_EQ(content_of(theirs->get()), "content");
    EXPECT_EQ(fcntl(theirs->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    ASSERT_EQ(fcntl(theirs->get(), F_SETFL, O_NONBLOCK), 0);
    EXPECT_EQ(fcntl(ours->get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_FALSE(reopen_for_reading(1 << 20));
}

class PassingTest : public ::testing::TestWithParam<bool> {};

// Receives one byte or more, and the descriptor that came with it.
struct Received {
    std::string text;
    Descriptor descriptor;
};
Received receive_with_descriptor(int socket) {
    std::array<char, 64> text{};
    iovec part{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t count = ::recvmsg(socket, &message, 0);
    Received received;
    if (count > 0) received.text.assign(text.data(), static_cast<size_t>(count));
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(header), sizeof number);
        received.descriptor = Descriptor(number);
    }
    return received;
}

TEST_P(PassingTest, ADescriptorTravelsWithTheFirstByte) {
    Result<std::unique_ptr<Kernel>> kernel =
        GetParam() ? make_uring_kernel({}) : make_epoll_kernel({});
    if (!kernel) GTEST_SKIP() << kernel.error().context;
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    const Descriptor here(pair[0]);
    const Descriptor there(pair[1]);
    Result<MemoryFile> file = MemoryFile::create("test");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->append(as_bytes("batch")));
    const Result<Descriptor> sealed = file->seal();
    ASSERT_TRUE(sealed);

    ASSERT_EQ((*kernel)->try_send(here.get(), as_bytes("before"), false), 6);
    ASSERT_EQ((*kernel)->try_send_descriptor(here.get(), as_bytes("reply"), sealed->get()), 5);
    ASSERT_EQ((*kernel)->try_send(here.get(), as_bytes("behind"), false), 6);
    // What lies before may come along; nothing that lies behind does.
    const Received received = receive_with_descriptor(there.get());
    EXPECT_EQ(received.text, "beforereply");
    ASSERT_TRUE(received.descriptor.is_open());
    EXPECT_EQ(content_of(received.descriptor.get()), "batch");
    EXPECT_EQ(receive_with_descriptor(there.get()).text, "behind");
    (*kernel)->forget(here.get());
}

INSTANTIATE_TEST_SUITE_P(Kernels, PassingTest, ::testing::Values(true, false),
                         [](const auto& info) { return info.param ? "uring" : "epoll"; });

TEST(UnixPathTest, OnlyASocketThatNobodyListensAtIsRemoved) {
    const std::string folder =
        std::filesystem::temp_directory_path() / ("penstock-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    const std::string path = folder + "/s";
    EXPECT_TRUE(make_socket_path_free(path)) << "nothing is there";

    std::ofstream(path) << "somebody's file";
    const Status refused = make_socket_path_free(path);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::exists);
    remove_socket_path(path);
    EXPECT_TRUE(std::filesystem::exists(path)) << "no socket, so none of ours";
    std::filesystem::remove(path);

    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, path.data(), path.size());
    {
        const Descriptor listener(::socket(AF_UNIX, SOCK_STREAM, 0));
        ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
        ASSERT_EQ(::listen(listener.get(), 1), 0);
        EXPECT_FALSE(make_socket_path_free(path)) << "it is in use";
    }
    EXPECT_TRUE(std::filesystem::exists(path));
    EXPECT_TRUE(make_socket_path_free(path));
    EXPECT_FALSE(std::filesystem::exists(path));
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace penstock::io
