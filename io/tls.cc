#include "io/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>

namespace penstock::io {
namespace {

constexpr uint32_t record_bytes_max = 16 << 10;
// Header, nonce, tag, padding: at most 5 + 8 + 16 + 1 with the ciphers below.
constexpr uint32_t record_overhead_bytes = 32;
// Room for what TLS itself may have to say before the bytes: an answer to a new key.
constexpr uint32_t own_bytes_max = 512;
constexpr uint32_t input_bytes_min = 16 << 10;
constexpr uint32_t input_bytes_max = 256 << 10;
constexpr std::byte handshake_record{22};

std::string last_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    return code == 0 ? "no reason given" : text.data();
}

// HTTP/1.1 is what is spoken here, whatever else a client would like.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
    constexpr std::string_view protocol = "http/1.1";
    for (unsigned int at = 0; at < offered_size; at += 1U + offered[at]) {
        const unsigned int size = offered[at];
        if (at + 1 + size > offered_size) break;
        if (size != protocol.size()) continue;
        if (std::memcmp(offered + at + 1, protocol.data(), size) != 0) continue;
        *chosen = offered + at + 1;
        *chosen_size = static_cast<unsigned char>(size);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

uint64_t seconds_from(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
    const std::time_t seconds = timegm(&parts);
    return seconds < 0 ? 0 : static_cast<uint64_t>(seconds);
}

std::string common_name(const X509_NAME* name) {
    const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0) return {};
    unsigned char* text = nullptr;
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    const int size = ASN1_STRING_to_UTF8(&text, value);
    if (size < 0) return {};
    std::string copy(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
    OPENSSL_free(text);
    return copy;
}

std::string decimal_from(const ASN1_INTEGER* number) {
    BIGNUM* large = ASN1_INTEGER_to_BN(number, nullptr);
    char* text = large == nullptr ? nullptr : BN_bn2dec(large);
    std::string copy = text == nullptr ? "" : text;
    OPENSSL_free(text);
    BN_free(large);
    return copy;
}

std::string key_name(int kind) {
    switch (kind) {
        case NID_rsaEncryption:
            return "RSA";
        case NID_X9_62_id_ecPublicKey:
            return "ECDSA";
        case NID_ED25519:
            return "Ed25519";
        default:
            return OBJ_nid2ln(kind);
    }
}

std::string signature_name(int kind) {
    int digest = NID_undef;
    int key = NID_undef;
    if (OBJ_find_sigid_algs(kind, &digest, &key) != 1 || digest == NID_undef) {
        return key_name(kind);
    }
    const std::string hash = OBJ_nid2sn(digest);
    return key == NID_X9_62_id_ecPublicKey ? "ECDSA-" + hash : hash + "-" + key_name(key);
}

CertificateFacts facts_of(X509* certificate) {
    CertificateFacts facts;
    facts.valid_from_s = seconds_from(X509_get0_notBefore(certificate));
    facts.valid_to_s = seconds_from(X509_get0_notAfter(certificate));
    facts.issuer = common_name(X509_get_issuer_name(certificate));
    facts.serial_number = decimal_from(X509_get0_serialNumber(certificate));
    facts.signature_algorithm = signature_name(X509_get_signature_nid(certificate));
    facts.key_algorithm = key_name(EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)));
    facts.version = static_cast<uint32_t>(X509_get_version(certificate)) + 1;
    return facts;
}

}  // namespace

struct TlsContext::State {
    SSL_CTX* context = nullptr;
    BIO_METHOD* method = nullptr;
    ~State() {
        SSL_CTX_free(context);
        BIO_meth_free(method);
    }
};

// The two ends that OpenSSL reads from and writes to.
struct TlsSession::State {
    explicit State(BufferPool& buffers) : pool(buffers) {}
    ~State() { SSL_free(ssl); }

    static int read(BIO* bio, char* into, int size) {
        auto& self = *static_cast<State*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        const uint32_t count = std::min(static_cast<uint32_t>(size), self.end - self.begin);
        if (count == 0) {
            BIO_set_retry_read(bio);
            return -1;
        }
        std::memcpy(into, self.input.data() + self.begin, count);
        self.begin += count;
        return static_cast<int>(count);
    }
    static int write(BIO* bio, const char* from, int size) {
        auto& self = *static_cast<State*>(BIO_get_data(bio));
        const Bytes bytes = as_bytes({from, static_cast<size_t>(size)});
        Chunk* chunk = self.encrypted;
        if (chunk != nullptr && chunk->size + bytes.size() <= chunk->buffer.size()) {
            std::memcpy(chunk->buffer.data() + chunk->size, bytes.data(), bytes.size());
            chunk->size += static_cast<uint32_t>(bytes.size());
        } else {
            self.output.insert(self.output.end(), bytes.begin(), bytes.end());
        }
        return size;
    }
    static long control(BIO*, int command, long, void*) {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    BufferPool& pool;
    SSL* ssl = nullptr;
    bool has_begun = false;  // the peer's first byte was looked at
    Buffer input;            // [begin, end): records that arrived
    uint32_t begin = 0;
    uint32_t end = 0;
    Chunk* encrypted = nullptr;     // where records go while encrypt() runs
    std::vector<std::byte> output;  // else
};

TlsContext::TlsContext() : state_(std::make_unique<State>()) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const std::string& certificate_path,
                                                           const std::string& key_path) {
    std::shared_ptr<TlsContext> made(new TlsContext());
    State& state = *made->state_;
    state.method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "penstock");
    state.context = SSL_CTX_new(TLS_server_method());
    if (state.method == nullptr || state.context == nullptr) {
        return fail(Errc::unavailable, "OpenSSL: " + last_error());
    }
    BIO_meth_set_read(state.method, TlsSession::State::read);
    BIO_meth_set_write(state.method, TlsSession::State::write);
    BIO_meth_set_ctrl(state.method, TlsSession::State::control);
    SSL_CTX* context = state.context;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    // Idle connections give their memory back; tickets need no table that cores would share.
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    if (SSL_CTX_use_certificate_chain_file(context, certificate_path.c_str()) != 1) {
        return fail(Errc::invalid, certificate_path + ": no certificate in PEM: " + last_error());
    }
    if (SSL_CTX_use_PrivateKey_file(context, key_path.c_str(), SSL_FILETYPE_PEM) != 1) {
        return fail(Errc::invalid,
                    key_path + ": no key in PEM, or not this certificate's: " + last_error());
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        return fail(Errc::invalid, key_path + ": not the certificate's key: " + last_error());
    }
    made->certificate_ = facts_of(SSL_CTX_get0_certificate(context));
    return made;
}

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context, BufferPool& pool)
    : state_(std::make_unique<State>(pool)), context_(std::move(context)) {
    state_->ssl = SSL_new(context_->state_->context);
    BIO* bio = BIO_new(context_->state_->method);
    ASSERT(state_->ssl != nullptr);
    ASSERT(bio != nullptr);
    BIO_set_data(bio, state_.get());
    BIO_set_init(bio, 1);
    SSL_set_bio(state_->ssl, bio, bio);
    SSL_set_accept_state(state_->ssl);
}

TlsSession::~TlsSession() = default;

Result<TlsSession::Step> TlsSession::handshake() {
    if (state_->begin < state_->end && !std::exchange(state_->has_begun, true)) {
        const std::byte first = state_->input.data()[state_->begin];
        if (first != handshake_record) return fail(Errc::invalid, "the client speaks no TLS");
    }
    ERR_clear_error();
    const int result = SSL_accept(state_->ssl);
    if (result == 1) return Step::done;
    if (SSL_get_error(state_->ssl, result) == SSL_ERROR_WANT_READ) return Step::more;
    return fail(Errc::closed, "TLS handshake: " + last_error());
}

Result<TlsSession::Step> TlsSession::decrypt(MutableBytes into, uint32_t& count) {
    count = 0;
    ERR_clear_error();
    while (count < into.size()) {
        size_t read = 0;
        const int result =
            SSL_read_ex(state_->ssl, into.data() + count, into.size() - count, &read);
        if (result == 1) {
            count += static_cast<uint32_t>(read);
            continue;
        }
        const int error = SSL_get_error(state_->ssl, result);
        if (count > 0 && error == SSL_ERROR_WANT_READ) break;
        if (error == SSL_ERROR_WANT_READ) return Step::more;
        if (error == SSL_ERROR_ZERO_RETURN) return count > 0 ? Step::done : Step::ended;
        return fail(Errc::closed, "TLS: " + last_error());
    }
    if (state_->begin == state_->end) {
        state_->begin = state_->end = 0;
        state_->input = Buffer();
    }
    return Step::done;
}

Result<Chunk> TlsSession::encrypt(Bytes bytes) {
    ASSERT(bytes.size() <= encrypted_bytes_max);
    const auto size = static_cast<uint32_t>(bytes.size());
    const uint32_t record_count = size / record_bytes_max + 1;
    Chunk chunk{state_->pool.take(size + record_count * record_overhead_bytes + own_bytes_max), 0,
                0};
    state_->encrypted = &chunk;
    ERR_clear_error();
    bool is_whole = true;
    while (is_whole && !bytes.empty()) {
        size_t written = 0;
        is_whole = SSL_write_ex(state_->ssl, bytes.data(), bytes.size(), &written) == 1;
        bytes = bytes.subspan(written);
    }
    state_->encrypted = nullptr;
    if (!is_whole) return fail(Errc::closed, "TLS: " + last_error());
    return chunk;
}

std::vector<std::byte> TlsSession::take_output() {
    return std::exchange(state_->output, {});
}

void TlsSession::finish() {
    ERR_clear_error();
    if (SSL_is_init_finished(state_->ssl) == 1) SSL_shutdown(state_->ssl);
    ERR_clear_error();
}

MutableBytes TlsSession::room(uint32_t wanted) {
    State& state = *state_;
    // OpenSSL has taken all that was here: parts of records lie in its own buffer.
    ASSERT(state.begin == state.end);
    state.begin = state.end = 0;
    const uint32_t size = std::clamp(wanted, input_bytes_min, input_bytes_max);
    if (state.input.size() < size) state.input = state.pool.take(size);
    return state.input.bytes();
}

void TlsSession::received(uint32_t count) {
    ASSERT(count <= state_->input.size() - state_->end);
    state_->end += count;
}

bool TlsSession::has_input() const {
    return state_->begin != state_->end || SSL_pending(state_->ssl) > 0;
}

}  // namespace penstock::io
