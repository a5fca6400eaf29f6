// The system calls that both Linux backends make in the same way. Results: a count, a descriptor,
// or -errno. Every descriptor is close-on-exec, every socket non-blocking.
#pragma once

#include <sys/socket.h>

#include <cstdint>

#include "io/base/bytes.h"
#include "io/kernel.h"

namespace penstock::io::internal {

// An Address in the system's form.
struct SystemAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};
// `address` was made by Address::parse().
SystemAddress system_address_from(const Address& address);
Address address_from(const SystemAddress& address);

int32_t open_listener(const Address& address, uint32_t backlog);
// A socket of the family that `address` needs, not connected.
int32_t open_socket(const Address& address);
Address bound_address(int socket);
Address connected_address(int socket);
uint32_t unread_bytes(int socket);
std::optional<uint32_t> peer_user(int socket);

// Of the file as it is opened here; an advice, so nothing can fail.
void advise_read_ahead(int file, bool is_wanted);
// Through a mapping for huge pages, because such a one asks for the page cache's largest folios:
// reads get single pages at first. Waits for the device. What fails is left to whoever reads.
void bring_in(int file, uint64_t offset, uint64_t size);
int32_t read_without_waiting(int file, MutableBytes buffer, uint64_t offset);
int32_t receive_without_waiting(int socket, MutableBytes buffer);
int32_t send_without_waiting(int socket, Bytes bytes, bool more);
// With SCM_RIGHTS; -EOPNOTSUPP if it is no Unix socket.
int32_t send_descriptor_without_waiting(int socket, Bytes bytes, int passed);
int32_t send_file_without_waiting(int socket, int file, uint64_t offset, uint32_t size);

}  // namespace penstock::io::internal
