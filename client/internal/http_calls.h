// HttpCalls: the client's calls over HTTP: AIStore's REST API, as a node serves it
// (contracts/ais-rest.md). Descriptors do not travel here, and a batch is as many GETs.
#pragma once

#include <expected>

#include "client/http_exchange.h"
#include "client/http_forms.h"
#include "client/internal/calls.h"

namespace penstock::client {

class HttpCalls final : public Calls {
public:
    HttpCalls(io::ChannelPool& pool, const Options& options, const Endpoint& endpoint);

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
    // A call that has been answered with success.
    struct Answer {
        ObjectInfo info;  // what the headers say of an object
        std::string text;
        bool was_repeated = false;  // an attempt before may have been done
    };
    struct Failed {
        Error error;
        bool is_final = false;   // the node said so, or there is no time left
        bool has_begun = false;  // the node may have done it
        bool was_repeated = false;
    };

    io::Task<std::expected<Answer, Failed>> call(const HttpRequest& request, Repeat repeat);
    io::Task<std::expected<Answer, Failed>> attempt(const HttpRequest& request,
                                                    uint64_t deadline_ns);
    io::Task<std::expected<Answer, Failed>> exchange(io::Channel& channel,
                                                     const HttpRequest& request,
                                                     uint64_t deadline_ns, bool& can_go_on);
    io::Task<Result<Answer>> simple_call(const HttpRequest& request, Repeat repeat);
    io::Task<Status> send(io::Channel& channel, const HttpRequest& request, uint64_t deadline_ns);

    // An object, or a part of it, on its way: an attempt goes on behind what has come.
    struct Reading;
    io::Task<Status> read(io::Channel& channel, Reading& reading, uint64_t deadline_ns,
                          bool& can_go_on);
    io::Task<Status> read_body(HttpInbox& inbox, Reading& reading, uint64_t deadline_ns);
    io::Task<Result<Content>> get_nothing(std::string_view bucket, std::string_view name,
                                          std::string_view member);

    struct BatchReading;
    io::Task<Status> read_batch(io::Channel& channel, BatchReading& batch, bool& can_go_on);
    io::Task<Status> read_item(HttpInbox& inbox, BatchReading& batch);

    uint64_t next_deadline_ns() const { return pool_.now_ns() + options_.timeout_ms * 1'000'000; }

    io::ChannelPool& pool_;
    const Options options_;
    std::string common_;  // header lines of every request
    const bool is_tls_;
};

}  // namespace penstock::client
