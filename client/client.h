// Client: objects, members of shards and batches of samples of a Penstock node, in a program that
// has no event loop. Each call waits until it is done or its time is up (Options, in
// client/types.h).
//
//     auto client = *penstock::client::Client::open("unix:/run/penstock.sock");
//     auto put = client->put("pictures", "fox", penstock::as_bytes("..."));     // durable now
//     auto fox = client->get("pictures", "fox");
//     if (!fox) std::fprintf(stderr, "%s\n", fox.error().context.c_str());
//     penstock::client::Batch batch;                            // used again: no new memory
//     penstock::client::BatchItem wanted[] = {{"fox"}, {"shard.tar", "0001.jpg"}};
//     if (client->get_many("pictures", wanted, batch)) train(batch[0], batch[1]);
//
// Build with `pkg-config --cflags --libs penstock-client`. In a program with a reactor of
// Penstock's the same calls are coroutines: client/async_client.h.
//
// Addresses are "unix:PATH" (quickest, and the only one for descriptors), "tcp://HOST:PORT", and
// "http://HOST[:PORT]" for where only HTTP goes through; "tls://HOST:PORT" and
// "https://HOST[:PORT]" are the same two over TLS, where the node's certificate must be for HOST
// and proved by Options::ca_file. What travels is checked at both ends: its
// length and its CRC-32C, over HTTP the checksum that the bucket keeps of a whole object. What is
// handed over as a descriptor does not travel. A reply that is cut off is an error, never a shorter
// object.
//
// A client may be used by many threads: each call has a connection for itself, of at most
// Options::connections_max. It may be used after a fork() in both processes, too: the child opens
// connections of its own. Errors are values; nothing is thrown.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/types.h"
#include "io/base/result.h"

namespace penstock::client {

class Client {
public:
    // Looks the address up, and connects with the first call. `invalid` if it is no address.
    static Result<std::unique_ptr<Client>> open(std::string_view address, Options options = {});
    ~Client();  // no call may be under way
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // `exists`, `invalid` for a name that no bucket can have.
    Status create_bucket(std::string_view bucket);
    // With all its objects; `not_found`. Never tried twice.
    Status destroy_bucket(std::string_view bucket);
    Result<std::vector<std::string>> buckets();

    // Stores an object, durable on return. Of any size. `not_found` if the bucket does not exist,
    // `condition_failed`, `full`; over HTTP `invalid` for metadata that no header carries unchanged
    // (with line ends, or blanks around them).
    Result<ObjectInfo> put(std::string_view bucket, std::string_view name, Bytes content,
                           const PutOptions& options = {});
    // The bytes of an object, or what ReadOptions say of it, of any size. `not_found`.
    Result<Content> get(std::string_view bucket, std::string_view name,
                        const ReadOptions& options = {});
    // An object without a copy: a large one as its own file on the node's disk, a small one in
    // sealed memory. Only over a Unix socket (`denied`, over HTTP `not_implemented`). A large one's
    // bytes are read from the device when they are looked at; a device that fails then raises
    // SIGBUS.
    Result<SharedObject> get_shared(std::string_view bucket, std::string_view name);
    Result<ObjectInfo> stat(std::string_view bucket, std::string_view name);
    // `not_found`; `condition_failed` if `if_version` is given and is not the object's version.
    Status delete_object(std::string_view bucket, std::string_view name,
                         std::string_view if_version = {});

    // One page of the objects whose names begin with `prefix`, in the order of names. `token` is
    // the page's before, "" for the first.
    Result<ListPage> list(std::string_view bucket, std::string_view prefix = {},
                          std::string_view token = {});
    // All of them. `each` returns false to end.
    Status list_all(std::string_view bucket, std::string_view prefix,
                    const std::function<bool(const ListEntry&)>& each);

    // The contents of many objects and members, in the order of `items`, as views of few buffers.
    // All or nothing: `not_found` if one is missing. Any number, of any size; what is more than a
    // reply holds (1 MiB) comes by descriptor over a Unix socket, and in several replies elsewhere.
    // Over HTTP each is a request, of which 32 are under way at once on one connection.
    Status get_many(std::string_view bucket, std::span<const BatchItem> items, Batch& batch);
    // The same, by descriptor at once over a Unix socket: memory that the node filled and sealed,
    // mapped here. For batches of more than 1 MiB.
    Status get_many_shared(std::string_view bucket, std::span<const BatchItem> items, Batch& batch);

    // Closes the connections that no call uses; the next call opens one again.
    void close_idle();

private:
    struct State;
    explicit Client(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace penstock::client
