#include "client/async_client.h"

#include "client/internal/open_calls.h"

namespace penstock::client {

struct AsyncClient::State : internal::OpenCalls {};

AsyncClient::AsyncClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
AsyncClient::~AsyncClient() = default;

Result<std::unique_ptr<AsyncClient>> AsyncClient::open(io::Reactor& reactor,
                                                       std::string_view address, Options options) {
    TRY(Endpoint endpoint, Endpoint::parse(address));
    auto state = std::make_unique<State>();
    TRY_STATUS(
        state->open(io::make_reactor_pool(reactor, endpoint.address, options.connections_max),
                    endpoint, options));
    return std::unique_ptr<AsyncClient>(new AsyncClient(std::move(state)));
}

io::Task<Status> AsyncClient::create_bucket(std::string_view bucket) {
    return state_->calls->create_bucket(bucket);
}

io::Task<Status> AsyncClient::destroy_bucket(std::string_view bucket) {
    return state_->calls->destroy_bucket(bucket);
}

io::Task<Result<std::vector<std::string>>> AsyncClient::buckets() {
    return state_->calls->buckets();
}

io::Task<Result<ObjectInfo>> AsyncClient::put(std::string_view bucket, std::string_view name,
                                              Bytes content, PutOptions options) {
    co_return co_await state_->calls->put(bucket, name, content, options);
}

io::Task<Result<Content>> AsyncClient::get(std::string_view bucket, std::string_view name,
                                           ReadOptions options) {
    co_return co_await state_->calls->get(bucket, name, options);
}

io::Task<Result<SharedObject>> AsyncClient::get_shared(std::string_view bucket,
                                                       std::string_view name) {
    return state_->calls->get_shared(bucket, name);
}

io::Task<Result<ObjectInfo>> AsyncClient::stat(std::string_view bucket, std::string_view name) {
    return state_->calls->stat(bucket, name);
}

io::Task<Status> AsyncClient::delete_object(std::string_view bucket, std::string_view name,
                                            std::string_view if_version) {
    return state_->calls->remove(bucket, name, if_version);
}

io::Task<Result<ListPage>> AsyncClient::list(std::string_view bucket, std::string_view prefix,
                                             std::string_view token) {
    return state_->calls->list(bucket, prefix, token);
}

io::Task<Status> AsyncClient::get_many(std::string_view bucket, std::span<const BatchItem> items,
                                       Batch& batch) {
    return state_->calls->get_many(bucket, items, batch);
}

io::Task<Status> AsyncClient::get_many_shared(std::string_view bucket,
                                              std::span<const BatchItem> items, Batch& batch) {
    return state_->calls->get_many_shared(bucket, items, batch);
}

void AsyncClient::close_idle() {
    state_->pool->close_idle();
}

}  // namespace penstock::client
