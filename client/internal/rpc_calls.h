// RpcCalls: the client's calls over MessagePack-RPC (contracts/interface.md, section 6).
#pragma once

#include <atomic>
#include <expected>

#include "client/internal/calls.h"
#include "client/rpc_exchange.h"

namespace penstock::client {

class RpcCalls final : public Calls {
public:
    RpcCalls(io::ChannelPool& pool, const Options& options, bool passes_descriptors)
        : pool_(pool), options_(options), passes_descriptors_(passes_descriptors) {}

    io::Task<Status> create_bucket(std::string_view bucket) override;
    io::Task<Status> destroy_bucket(std::string_view bucket) override;
    io::Task<Result<std::vector<std::string>>> buckets() override;
    io::Task<Result<ObjectInfo>> put(std::string_view bucket, std::string_view name, Bytes content,
                                     const PutOptions& options) override;
    io::Task<Result<Content>> get(std::string_view bucket, std::string_view name,
                                  const ReadOptions& options) override;
    io::Task<Result<SharedObject>> get_shared(std::string_view bucket,
                                              std::string_view name) override;
    io::Task<Result<ObjectInfo>> stat(std::string_view bucket, std::string_view name) override;
    io::Task<Status> remove(std::string_view bucket, std::string_view name,
                            std::string_view if_version) override;
    io::Task<Result<ListPage>> list(std::string_view bucket, std::string_view prefix,
                                    std::string_view token) override;
    io::Task<Status> get_many(std::string_view bucket, std::span<const BatchItem> items,
                              Batch& batch) override;
    io::Task<Status> get_many_shared(std::string_view bucket, std::span<const BatchItem> items,
                                     Batch& batch) override;

private:
    // Whether a request may reach the node twice.
    enum class Repeat : uint8_t { never, allowed };
    // A call that has been answered.
    struct Answer {
        Buffer buffer;
        Bytes result;  // in the buffer
        std::vector<io::Descriptor> descriptors;
        bool was_repeated = false;  // an attempt before may have been done
    };
    struct Failed {
        Error error;
        bool is_final = false;   // the node said so, or there is no time left
        bool has_begun = false;  // the node may have done it
        bool was_repeated = false;
    };

    io::Task<std::expected<Answer, Failed>> call(const RpcRequest& request, Repeat repeat,
                                                 Buffer buffer = {});
    io::Task<std::expected<Answer, Failed>> attempt(const RpcRequest& request, Buffer buffer,
                                                    uint64_t deadline_ns);
    io::Task<Result<Answer>> simple_call(const RpcRequest& request, Repeat repeat,
                                         Buffer buffer = {});

    io::Task<Result<ObjectInfo>> put_small(std::string_view bucket, std::string_view name,
                                           Bytes content, const PutOptions& options);
    io::Task<Result<ObjectInfo>> put_parts(std::string_view bucket, std::string_view name,
                                           Bytes content, const PutOptions& options);
    io::Task<Status> send_part(std::string_view upload, uint64_t number, Bytes content);

    // A large object that is read in ranges of one version.
    struct Ranges {
        std::string_view bucket;
        std::string_view name;
        std::string_view member;
        uint64_t offset = 0;  // of the first byte of `into`
        std::string version;
        MutableBytes into;
    };
    io::Task<Result<Content>> get_ranges(std::string_view bucket, std::string_view name,
                                         const ReadOptions& options);
    io::Task<Status> read_ranges(const Ranges& ranges);
    io::Task<Status> exchange_ranges(io::Channel& channel, const Ranges& ranges,
                                     uint64_t& done_bytes);

    io::Task<Status> add_batch(std::string_view bucket, std::span<const BatchItem> items,
                               bool as_descriptor, Batch& batch);
    io::Task<Status> add_bytes(std::string_view bucket, std::span<const BatchItem> items,
                               Batch& batch);
    io::Task<Status> add_mapping(std::string_view bucket, std::span<const BatchItem> items,
                                 Batch& batch);
    // Maps what came with the answer.
    static Result<io::FileMapping> mapping_of(const Answer& answer, io::FileMapping::Use use);

    uint32_t next_id() { return next_id_.fetch_add(1, std::memory_order_relaxed); }

    io::ChannelPool& pool_;
    const Options options_;
    const bool passes_descriptors_;
    std::atomic<uint32_t> next_id_{1};
};

}  // namespace penstock::client
