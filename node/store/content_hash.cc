#include "node/store/content_hash.h"

#include <openssl/evp.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <algorithm>

#include "io/base/checksum.h"

namespace penstock::node {
namespace {

const EVP_MD* digest_of_type(ChecksumType type) {
    switch (type) {
        case ChecksumType::md5:
            return EVP_md5();
        case ChecksumType::sha256:
            return EVP_sha256();
        case ChecksumType::sha512:
            return EVP_sha512();
        case ChecksumType::none:
        case ChecksumType::xxhash:
        case ChecksumType::crc32c:
            return nullptr;
    }
    return nullptr;
}

template <typename T>
void put_big_endian(ContentChecksum& checksum, T value) {
    checksum.size = sizeof value;
    for (size_t index = sizeof value; index-- > 0;) {
        checksum.digest[index] = static_cast<std::byte>(value);
        value = static_cast<T>(value >> 8);
    }
}

}  // namespace

struct ContentHash::State {
    ChecksumType type = ChecksumType::none;
    uint32_t crc = 0;
    XXH64_state_t xxhash{};
    EVP_MD_CTX* context = nullptr;

    ~State() { EVP_MD_CTX_free(context); }
};

ContentHash::ContentHash(ChecksumType type) : state_(std::make_unique<State>()) {
    state_->type = type;
    if (type == ChecksumType::xxhash) XXH64_reset(&state_->xxhash, 0);
    if (const EVP_MD* algorithm = digest_of_type(type)) {
        state_->context = EVP_MD_CTX_new();
        ASSERT(state_->context != nullptr);
        ASSERT(EVP_DigestInit_ex(state_->context, algorithm, nullptr) == 1);
    }
}

ContentHash::~ContentHash() = default;
ContentHash::ContentHash(ContentHash&&) noexcept = default;
ContentHash& ContentHash::operator=(ContentHash&&) noexcept = default;

void ContentHash::add(Bytes bytes) {
    if (bytes.empty()) return;
    switch (state_->type) {
        case ChecksumType::none:
            return;
        case ChecksumType::crc32c:
            state_->crc = crc32c(bytes, state_->crc);
            return;
        case ChecksumType::xxhash:
            XXH64_update(&state_->xxhash, bytes.data(), bytes.size());
            return;
        case ChecksumType::md5:
        case ChecksumType::sha256:
        case ChecksumType::sha512:
            ASSERT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
            return;
    }
}

ContentChecksum ContentHash::finish() {
    ContentChecksum checksum;
    checksum.type = state_->type;
    if (state_->type == ChecksumType::crc32c) put_big_endian(checksum, state_->crc);
    if (state_->type == ChecksumType::xxhash)
        put_big_endian(checksum, XXH64_digest(&state_->xxhash));
    if (state_->context != nullptr) {
        unsigned int size = 0;
        ASSERT(EVP_DigestFinal_ex(state_->context,
                                  reinterpret_cast<unsigned char*>(checksum.digest.data()),
                                  &size) == 1);
        checksum.size = static_cast<uint8_t>(size);
    }
    return checksum;
}

}  // namespace penstock::node
