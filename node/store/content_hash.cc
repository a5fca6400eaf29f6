#include "node/store/content_hash.h"

#include <algorithm>

#include "io/base/checksum.h"

namespace penstock::node {
namespace {

template <typename T>
void put_big_endian(ContentChecksum& checksum, T value) {
    checksum.size = sizeof value;
    for (size_t index = sizeof value; index-- > 0;) {
        checksum.digest[index] = static_cast<std::byte>(value);
        value = static_cast<T>(value >> 8);
    }
}

}  // namespace

ContentHash::ContentHash(ChecksumType type) : type_(type) {
    switch (type) {
        case ChecksumType::xxhash:
            xxhash_.emplace();
            break;
        case ChecksumType::md5:
            digest_.emplace(DigestStream::Kind::md5);
            break;
        case ChecksumType::sha256:
            digest_.emplace(DigestStream::Kind::sha256);
            break;
        case ChecksumType::sha512:
            digest_.emplace(DigestStream::Kind::sha512);
            break;
        case ChecksumType::none:
        case ChecksumType::crc32c:
            break;
    }
}

void ContentHash::add(Bytes bytes) {
    if (bytes.empty()) return;
    if (type_ == ChecksumType::crc32c) crc_ = crc32c(bytes, crc_);
    if (xxhash_) xxhash_->add(bytes);
    if (digest_) digest_->add(bytes);
}

ContentChecksum ContentHash::finish() {
    ContentChecksum checksum;
    checksum.type = type_;
    if (type_ == ChecksumType::crc32c) put_big_endian(checksum, crc_);
    if (xxhash_) put_big_endian(checksum, xxhash_->finish());
    if (digest_) {
        const DigestStream::Digest digest = digest_->finish();
        checksum.digest = digest.bytes;
        checksum.size = digest.size;
    }
    return checksum;
}

ContentProof::ContentProof(ChecksumType kept, const std::optional<ContentChecksum>& expected)
    : hash_(kept) {
    if (!expected || expected->type == ChecksumType::none) return;
    expected_ = expected;
    if (expected->type != kept) expected_hash_.emplace(expected->type);
}

void ContentProof::add(Bytes bytes) {
    hash_.add(bytes);
    if (expected_hash_) expected_hash_->add(bytes);
}

Result<ContentChecksum> ContentProof::finish() {
    const ContentChecksum kept = hash_.finish();
    if (!expected_) return kept;
    const ContentChecksum found = expected_hash_ ? expected_hash_->finish() : kept;
    if (std::ranges::equal(found.bytes(), expected_->bytes())) return kept;
    return fail(Errc::invalid, "the content does not have the given checksum");
}

}  // namespace penstock::node
