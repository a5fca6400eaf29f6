#include "client/internal/login_pool.h"

#include "client/rpc_exchange.h"

namespace penstock::client::internal {
namespace {

class LoginPool final : public io::ChannelPool {
public:
    LoginPool(std::unique_ptr<io::ChannelPool> pool, std::string token)
        : pool_(std::move(pool)), token_(std::move(token)) {}

    io::Task<Result<std::unique_ptr<io::Channel>>> take(uint64_t deadline_ns) override {
        CO_TRY(std::unique_ptr<io::Channel> channel, co_await pool_->take(deadline_ns));
        if (channel->is_introduced) co_return channel;
        const Status done = co_await log_in(*channel, deadline_ns);
        if (!done) {
            pool_->drop(std::move(channel));
            co_return fail(done.error());
        }
        channel->is_introduced = true;
        co_return channel;
    }
    void give_back(std::unique_ptr<io::Channel> channel) override {
        pool_->give_back(std::move(channel));
    }
    void drop(std::unique_ptr<io::Channel> channel) override { pool_->drop(std::move(channel)); }
    void close_idle() override { pool_->close_idle(); }
    uint64_t now_ns() const override { return pool_->now_ns(); }
    io::Task<void> sleep_until(uint64_t time_ns) override { return pool_->sleep_until(time_ns); }

private:
    io::Task<Status> log_in(io::Channel& channel, uint64_t deadline_ns) {
        constexpr uint32_t id = 0;
        Packer packer;
        packer.map(1).text("token").text(token_);
        const RpcRequest request{.method = "auth.login", .arguments = packer.take()};
        CO_TRY_STATUS(co_await send_request(channel, request, id, deadline_ns));
        Inbox inbox(channel);
        CO_TRY(const RpcReply reply, co_await inbox.next(deadline_ns));
        if (reply.error) co_return fail(*reply.error);
        co_return Status();
    }

    std::unique_ptr<io::ChannelPool> pool_;
    std::string token_;
};

}  // namespace

std::unique_ptr<io::ChannelPool> make_login_pool(std::unique_ptr<io::ChannelPool> pool,
                                                 std::string token) {
    if (token.empty()) return pool;
    return std::make_unique<LoginPool>(std::move(pool), std::move(token));
}

}  // namespace penstock::client::internal
