// AsyncClient: the calls of client/client.h as coroutines on a reactor of Penstock's
// (io/reactor.h).
//
//     penstock::io::Task<penstock::Status> work(penstock::client::AsyncClient& client) {
//         CO_TRY(const auto fox, co_await client.get("pictures", "fox"));
//         train(fox.bytes());
//         co_return penstock::Status();
//     }
//
// Meaning, limits and errors are those of Client; only list_all() is missing, as a loop over list()
// is as short. It belongs to the reactor's core. Any number of calls may be under way at once;
// those above Options::connections_max wait for a connection. The arguments (texts, bytes, options,
// the batch) must live until the task is done, so it is awaited where they are.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "client/types.h"
#include "io/task.h"

namespace penstock::io {
class Reactor;
}

namespace penstock::client {

class AsyncClient {
public:
    // Looks the address up, which waits if it is no number, and connects with the first call.
    // `reactor` must outlive the client. `invalid` if it is no address.
    static Result<std::unique_ptr<AsyncClient>> open(io::Reactor& reactor, std::string_view address,
                                                     Options options = {});
    ~AsyncClient();  // no call may be under way
    AsyncClient(const AsyncClient&) = delete;
    AsyncClient& operator=(const AsyncClient&) = delete;

    io::Task<Status> create_bucket(std::string_view bucket);
    io::Task<Status> destroy_bucket(std::string_view bucket);
    io::Task<Result<std::vector<std::string>>> buckets();
    io::Task<Result<ObjectInfo>> put(std::string_view bucket, std::string_view name, Bytes content,
                                     PutOptions options = {});
    io::Task<Result<Content>> get(std::string_view bucket, std::string_view name,
                                  ReadOptions options = {});
    io::Task<Result<SharedObject>> get_shared(std::string_view bucket, std::string_view name);
    io::Task<Result<ObjectInfo>> stat(std::string_view bucket, std::string_view name);
    io::Task<Status> delete_object(std::string_view bucket, std::string_view name,
                                   std::string_view if_version = {});
    io::Task<Result<ListPage>> list(std::string_view bucket, std::string_view prefix = {},
                                    std::string_view token = {});
    io::Task<Status> get_many(std::string_view bucket, std::span<const BatchItem> items,
                              Batch& batch);
    io::Task<Status> get_many_shared(std::string_view bucket, std::span<const BatchItem> items,
                                     Batch& batch);
    void close_idle();

private:
    struct State;
    explicit AsyncClient(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace penstock::client
