#include "io/base/checksum_stream.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

namespace penstock {

struct Xxh64Stream::State {
    XXH64_state_t hash;
};

Xxh64Stream::Xxh64Stream() : state_(std::make_unique<State>()) {
    XXH64_reset(&state_->hash, 0);
}
Xxh64Stream::~Xxh64Stream() = default;
Xxh64Stream::Xxh64Stream(Xxh64Stream&&) noexcept = default;
Xxh64Stream& Xxh64Stream::operator=(Xxh64Stream&&) noexcept = default;

void Xxh64Stream::add(Bytes bytes) {
    XXH64_update(&state_->hash, bytes.data(), bytes.size());
}
uint64_t Xxh64Stream::finish() const {
    return XXH64_digest(&state_->hash);
}

struct DigestStream::State {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { EVP_MD_CTX_free(context); }
};

DigestStream::DigestStream(Kind kind) : state_(std::make_unique<State>()) {
    const EVP_MD* algorithm = kind == Kind::md5      ? EVP_md5()
                              : kind == Kind::sha256 ? EVP_sha256()
                                                     : EVP_sha512();
    ASSERT(state_->context != nullptr);
    ASSERT(EVP_DigestInit_ex(state_->context, algorithm, nullptr) == 1);
}
DigestStream::~DigestStream() = default;
DigestStream::DigestStream(DigestStream&&) noexcept = default;
DigestStream& DigestStream::operator=(DigestStream&&) noexcept = default;

void DigestStream::add(Bytes bytes) {
    ASSERT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

DigestStream::Digest DigestStream::finish() {
    Digest digest;
    static_assert(EVP_MAX_MD_SIZE <= sizeof(digest.bytes));
    unsigned int size = 0;
    ASSERT(EVP_DigestFinal_ex(state_->context,
                              reinterpret_cast<unsigned char*>(digest.bytes.data()), &size) == 1);
    digest.size = static_cast<uint8_t>(size);
    return digest;
}

bool is_same_secret(Bytes left, Bytes right) {
    ASSERT(left.size() == right.size());
    return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace penstock
