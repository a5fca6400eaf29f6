#include "io/tls_channel.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace penstock::io {
namespace {

// Of what is received at once; four records.
constexpr size_t room_bytes = 64 << 10;
// What is encrypted before it is sent.
constexpr size_t piece_bytes = 240 << 10;

std::string last_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    return code == 0 ? "the connection ended" : text.data();
}

bool is_numeric(const std::string& host) {
    in6_addr address{};
    return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
           inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

}  // namespace

struct TlsTrust::State {
    SSL_CTX* context = nullptr;
    ~State() { SSL_CTX_free(context); }
};

TlsTrust::TlsTrust() : state_(std::make_unique<State>()) {}
TlsTrust::~TlsTrust() = default;

Result<std::shared_ptr<const TlsTrust>> TlsTrust::load(const std::string& ca_file) {
    std::shared_ptr<TlsTrust> made(new TlsTrust());
    SSL_CTX* context = made->state_->context = SSL_CTX_new(TLS_client_method());
    if (context == nullptr) return fail(Errc::unavailable, "OpenSSL: " + last_error());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    const int loaded = ca_file.empty()
                           ? SSL_CTX_set_default_verify_paths(context)
                           : SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr);
    if (loaded != 1) {
        return fail(Errc::invalid, ca_file + ": no certificates in PEM: " + last_error());
    }
    return made;
}

// A channel's bytes as records. OpenSSL reads and writes memory; `plain_` moves it.
class TlsChannel final : public Channel {
public:
    TlsChannel(std::unique_ptr<Channel> plain, const TlsTrust& trust)
        : plain_(std::move(plain)),
          ssl_(SSL_new(trust.state_->context)),
          incoming_(BIO_new(BIO_s_mem())),
          outgoing_(BIO_new(BIO_s_mem())) {
        ASSERT(ssl_ != nullptr);
        ASSERT(incoming_ != nullptr && outgoing_ != nullptr);
        SSL_set_bio(ssl_, incoming_, outgoing_);
        is_secured = true;
    }
    // Says nothing to the server: this may be a forked child's copy of its parent's connection.
    ~TlsChannel() override { SSL_free(ssl_); }

    Task<Status> connect(const std::string& host, bool speaks_http, uint64_t deadline_ns) {
        CO_TRY_STATUS(expect(host, speaks_http));
        for (;;) {
            ERR_clear_error();
            const int result = SSL_connect(ssl_);
            const int error = SSL_get_error(ssl_, result);
            const std::string reason =
                result == 1 || error == SSL_ERROR_WANT_READ ? "" : last_error();
            // An alert that says what is wrong with the certificate goes out, too.
            const Status flushed = co_await flush(deadline_ns);
            if (!reason.empty()) co_return refused(host, reason);
            CO_TRY_STATUS(flushed);
            if (result == 1) co_return Status();
            CO_TRY(const size_t count, co_await receive_records(deadline_ns));
            if (count == 0) co_return refused(host, "the server closed the connection");
        }
    }

    Task<Status> send(Bytes bytes, uint64_t deadline_ns) override {
        while (!bytes.empty()) {
            const Bytes piece = bytes.first(std::min(bytes.size(), piece_bytes));
            bytes = bytes.subspan(piece.size());
            ERR_clear_error();
            size_t written = 0;
            if (SSL_write_ex(ssl_, piece.data(), piece.size(), &written) != 1) {
                co_return fail(Errc::closed, "TLS: " + last_error());
            }
            ASSERT(written == piece.size());
            CO_TRY_STATUS(co_await flush(deadline_ns));
        }
        co_return Status();
    }

    Task<Result<size_t>> receive(MutableBytes room, std::vector<Descriptor>&,
                                 uint64_t deadline_ns) override {
        ASSERT(!room.empty());
        for (;;) {
            ERR_clear_error();
            size_t count = 0;
            const int result = SSL_read_ex(ssl_, room.data(), room.size(), &count);
            if (result == 1) co_return count;
            const int error = SSL_get_error(ssl_, result);
            if (error == SSL_ERROR_ZERO_RETURN) co_return 0;
            if (error != SSL_ERROR_WANT_READ) {
                co_return fail(Errc::closed, "TLS: " + last_error());
            }
            CO_TRY_STATUS(co_await flush(deadline_ns));  // an answer to a new key
            CO_TRY(const size_t received, co_await receive_records(deadline_ns));
            // Without the server's word that nothing follows, as everything here says its length.
            if (received == 0) co_return 0;
        }
    }

    bool is_quiet() const override {
        return SSL_pending(ssl_) == 0 && BIO_ctrl_pending(incoming_) == 0 && plain_->is_quiet();
    }

private:
    // Whom the certificate must be for.
    Status expect(const std::string& host, bool speaks_http) {
        SSL_set_connect_state(ssl_);
        bool is_set = false;
        if (is_numeric(host)) {
            is_set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str()) == 1;
        } else {
            SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
            is_set = SSL_set1_host(ssl_, host.c_str()) == 1 &&
                     SSL_set_tlsext_host_name(ssl_, host.c_str()) == 1;
        }
        if (!is_set || host.empty()) return fail(Errc::invalid, "no name to verify: " + host);
        static constexpr std::string_view protocols = "\x08http/1.1";
        if (speaks_http) {
            SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(protocols.data()),
                                protocols.size());
        }
        return {};
    }

    Status refused(const std::string& host, const std::string& reason) const {
        const long verdict = SSL_get_verify_result(ssl_);
        if (verdict != X509_V_OK) {
            return fail(Errc::denied, "the certificate of " + host + " is not believed: " +
                                          X509_verify_cert_error_string(verdict));
        }
        return fail(Errc::closed, "TLS with " + host + ": " + reason);
    }

    // What OpenSSL wants to say.
    Task<Status> flush(uint64_t deadline_ns) {
        char* data = nullptr;
        const long size = BIO_get_mem_data(outgoing_, &data);
        if (size <= 0) co_return Status();
        const Status sent =
            co_await plain_->send(as_bytes({data, static_cast<size_t>(size)}), deadline_ns);
        (void)BIO_reset(outgoing_);
        co_return sent;
    }

    Task<Result<size_t>> receive_records(uint64_t deadline_ns) {
        if (room_.empty()) room_.resize(room_bytes);
        std::vector<Descriptor> none;  // none travel here
        CO_TRY(const size_t count, co_await plain_->receive(room_, none, deadline_ns));
        if (count > 0) BIO_write(incoming_, room_.data(), static_cast<int>(count));
        co_return count;
    }

    std::unique_ptr<Channel> plain_;
    SSL* ssl_;
    BIO* incoming_;  // the session's
    BIO* outgoing_;
    std::vector<std::byte> room_;
};

namespace {

class TlsPool final : public ChannelPool {
public:
    TlsPool(std::unique_ptr<ChannelPool> pool, std::shared_ptr<const TlsTrust> trust,
            std::string host, bool speaks_http)
        : pool_(std::move(pool)),
          trust_(std::move(trust)),
          host_(std::move(host)),
          speaks_http_(speaks_http) {}

    Task<Result<std::unique_ptr<Channel>>> take(uint64_t deadline_ns) override {
        CO_TRY(std::unique_ptr<Channel> channel, co_await pool_->take(deadline_ns));
        if (channel->is_secured) co_return channel;
        auto secured = std::make_unique<TlsChannel>(std::move(channel), *trust_);
        const Status connected = co_await secured->connect(host_, speaks_http_, deadline_ns);
        if (connected) co_return secured;
        pool_->drop(std::move(secured));
        co_return fail(connected.error());
    }
    void give_back(std::unique_ptr<Channel> channel) override {
        pool_->give_back(std::move(channel));
    }
    void drop(std::unique_ptr<Channel> channel) override { pool_->drop(std::move(channel)); }
    void close_idle() override { pool_->close_idle(); }
    uint64_t now_ns() const override { return pool_->now_ns(); }
    Task<void> sleep_until(uint64_t time_ns) override { return pool_->sleep_until(time_ns); }

private:
    std::unique_ptr<ChannelPool> pool_;
    std::shared_ptr<const TlsTrust> trust_;
    std::string host_;
    bool speaks_http_;
};

}  // namespace

std::unique_ptr<ChannelPool> make_tls_pool(std::unique_ptr<ChannelPool> pool,
                                           std::shared_ptr<const TlsTrust> trust, std::string host,
                                           bool speaks_http) {
    return std::make_unique<TlsPool>(std::move(pool), std::move(trust), std::move(host),
                                     speaks_http);
}

}  // namespace penstock::io
