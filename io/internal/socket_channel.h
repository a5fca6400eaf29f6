// SocketChannel: what both forms of a Channel have in common. They differ in how they wait, and in
// who owns the descriptor.
#pragma once

#include <string>

#include "io/channel.h"

namespace penstock::io::internal {

class SocketChannel : public Channel {
public:
    Task<Status> send(Bytes bytes, uint64_t deadline_ns) final;
    Task<Result<size_t>> receive(MutableBytes room, std::vector<Descriptor>& descriptors,
                                 uint64_t deadline_ns) final;
    bool is_quiet() const final;

protected:
    SocketChannel(int descriptor, std::string peer)
        : descriptor_(descriptor), peer_(std::move(peer)) {}
    int descriptor() const { return descriptor_; }

private:
    // Until poll() would report `events`, POLLIN or POLLOUT.
    virtual Task<Status> wait(short events, uint64_t deadline_ns) = 0;

    int descriptor_;
    std::string peer_;
};

}  // namespace penstock::io::internal
