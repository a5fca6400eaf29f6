// Calls: what a client asks of a node, over MessagePack-RPC or over HTTP. The tasks wait as the
// pool's do: inside system calls, or on a reactor. What they take lives until they are done.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "client/types.h"
#include "io/channel.h"

namespace penstock::client {

class Calls {
public:
    virtual ~Calls() = default;

    virtual io::Task<Status> create_bucket(std::string_view bucket) = 0;
    virtual io::Task<Status> destroy_bucket(std::string_view bucket) = 0;
    virtual io::Task<Result<std::vector<std::string>>> buckets() = 0;
    virtual io::Task<Result<ObjectInfo>> put(std::string_view bucket, std::string_view name,
                                             Bytes content, const PutOptions& options) = 0;
    virtual io::Task<Result<Content>> get(std::string_view bucket, std::string_view name,
                                          const ReadOptions& options) = 0;
    virtual io::Task<Result<SharedObject>> get_shared(std::string_view bucket,
                                                      std::string_view name) = 0;
    virtual io::Task<Result<ObjectInfo>> stat(std::string_view bucket, std::string_view name) = 0;
    virtual io::Task<Status> remove(std::string_view bucket, std::string_view name,
                                    std::string_view if_version) = 0;
    virtual io::Task<Result<ListPage>> list(std::string_view bucket, std::string_view prefix,
                                            std::string_view token) = 0;
    virtual io::Task<Status> get_many(std::string_view bucket, std::span<const BatchItem> items,
                                      Batch& batch) = 0;
    virtual io::Task<Status> get_many_shared(std::string_view bucket,
                                             std::span<const BatchItem> items, Batch& batch) = 0;
};

// What an address text means.
struct Endpoint {
    enum class Protocol : uint8_t { rpc, http };
    Protocol protocol = Protocol::rpc;
    bool is_tls = false;
    io::Address address;
    std::string host;       // over HTTP: what the Host header says
    std::string host_name;  // over TLS: whom the certificate must be for

    // "unix:PATH", "tcp://HOST:PORT", "tls://HOST:PORT", "http://HOST[:PORT]" and
    // "https://HOST[:PORT]"; a HOST that is no number is looked up, which may wait. `invalid`,
    // `unavailable` if there is no such host.
    static Result<Endpoint> parse(std::string_view text);
};

std::unique_ptr<Calls> make_rpc_calls(io::ChannelPool& pool, const Options& options,
                                      bool passes_descriptors);
std::unique_ptr<Calls> make_http_calls(io::ChannelPool& pool, const Options& options,
                                       const Endpoint& endpoint);

// How many attempts were made, and when the next one begins.
class Attempts {
public:
    Attempts(io::ChannelPool& pool, const Options& options)
        : pool_(pool),
          options_(options),
          deadline_ns_(pool.now_ns() + options.timeout_ms * 1'000'000) {}
    uint64_t deadline_ns() const { return deadline_ns_; }
    // Waits until the next attempt; false if there is none, or no time is left for it.
    io::Task<bool> wait_for_next();

private:
    io::ChannelPool& pool_;
    const Options& options_;
    const uint64_t deadline_ns_;
    uint32_t made_ = 0;
};

// Whether an attempt that failed so may be worth another one: the connection, or bytes on it.
bool is_passing(Errc code);
// Whether `content` has the size and the checksum of `info`; nullopt if that has none.
std::optional<bool> has_content(const ObjectInfo& info, Bytes content);
// Whether an object that is there now is what `content` put: then an attempt whose reply did not
// come has done it. False where the bucket keeps no checksum.
bool is_content(const ObjectInfo& info, Bytes content);

}  // namespace penstock::client
