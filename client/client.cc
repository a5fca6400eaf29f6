#include "client/client.h"

#include "client/internal/open_calls.h"

namespace penstock::client {

struct Client::State : internal::OpenCalls {};

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::open(std::string_view address, Options options) {
    TRY(Endpoint endpoint, Endpoint::parse(address));
    auto state = std::make_unique<State>();
    TRY_STATUS(state->open(io::make_blocking_pool(endpoint.address, options.connections_max),
                           endpoint, options));
    return std::unique_ptr<Client>(new Client(std::move(state)));
}

Status Client::create_bucket(std::string_view bucket) {
    return io::finished(state_->calls->create_bucket(bucket));
}

Status Client::destroy_bucket(std::string_view bucket) {
    return io::finished(state_->calls->destroy_bucket(bucket));
}

Result<std::vector<std::string>> Client::buckets() {
    return io::finished(state_->calls->buckets());
}

Result<ObjectInfo> Client::put(std::string_view bucket, std::string_view name, Bytes content,
                               const PutOptions& options) {
    return io::finished(state_->calls->put(bucket, name, content, options));
}

Result<Content> Client::get(std::string_view bucket, std::string_view name,
                            const ReadOptions& options) {
    return io::finished(state_->calls->get(bucket, name, options));
}

Result<SharedObject> Client::get_shared(std::string_view bucket, std::string_view name) {
    return io::finished(state_->calls->get_shared(bucket, name));
}

Result<ObjectInfo> Client::stat(std::string_view bucket, std::string_view name) {
    return io::finished(state_->calls->stat(bucket, name));
}

Status Client::delete_object(std::string_view bucket, std::string_view name,
                             std::string_view if_version) {
    return io::finished(state_->calls->remove(bucket, name, if_version));
}

Result<ListPage> Client::list(std::string_view bucket, std::string_view prefix,
                              std::string_view token) {
    return io::finished(state_->calls->list(bucket, prefix, token));
}

Status Client::list_all(std::string_view bucket, std::string_view prefix,
                        const std::function<bool(const ListEntry&)>& each) {
    std::string token;
    do {
        TRY(const ListPage page, list(bucket, prefix, token));
        for (const ListEntry& entry : page.entries) {
            if (!each(entry)) return {};
        }
        token = page.token;
    } while (!token.empty());
    return {};
}

Status Client::get_many(std::string_view bucket, std::span<const BatchItem> items, Batch& batch) {
    return io::finished(state_->calls->get_many(bucket, items, batch));
}

Status Client::get_many_shared(std::string_view bucket, std::span<const BatchItem> items,
                               Batch& batch) {
    return io::finished(state_->calls->get_many_shared(bucket, items, batch));
}

void Client::close_idle() {
    state_->pool->close_idle();
}

}  // namespace penstock::client
