#include "io/base/checksum.h"

#include <isa-l/crc.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

namespace penstock {
namespace {

// The reversed Castagnoli polynomial.
constexpr uint32_t polynomial = 0x82F63B78;

// One bit of multiplication by x, modulo the polynomial, in the reflected representation.
constexpr uint32_t times_x(uint32_t value) {
    return (value & 1) != 0 ? (value >> 1) ^ polynomial : value >> 1;
}

// Product of two polynomials modulo the CRC's, reflected.
constexpr uint32_t multiply(uint32_t left, uint32_t right) {
    uint32_t product = 0;
    for (uint32_t bit = 0x80000000; bit != 0; bit >>= 1) {
        if ((left & bit) != 0) product ^= right;
        right = times_x(right);
    }
    return product;
}

// x^(8 * 2^index) for each index: the steps by which a length in bytes is walked.
constexpr std::array<uint32_t, 64> make_byte_powers() {
    std::array<uint32_t, 64> powers{};
    uint32_t power = 0x80000000;  // x^0
    for (int step = 0; step < 8; ++step) power = times_x(power);
    for (uint32_t& entry : powers) {
        entry = power;
        power = multiply(power, power);
    }
    return powers;
}

}  // namespace

uint32_t crc32c(Bytes bytes, uint32_t crc) {
    // ISA-L neither starts from ones nor ends by inverting; its pointer is not const by omission.
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
    // ISA-L takes an int length: walk in pieces.
    constexpr size_t piece_bytes = 1U << 30;
    uint32_t state = ~crc;
    for (size_t at = 0; at < bytes.size(); at += piece_bytes) {
        const size_t length = std::min(piece_bytes, bytes.size() - at);
        state = crc32_iscsi(data + at, static_cast<int>(length), state);
    }
    return ~state;
}

uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_bytes) {
    static constexpr std::array<uint32_t, 64> powers = make_byte_powers();
    uint32_t shifted = first;
    for (size_t index = 0; second_bytes != 0; ++index, second_bytes >>= 1) {
        if ((second_bytes & 1) != 0) shifted = multiply(shifted, powers[index]);
    }
    return shifted ^ second;
}

uint64_t xxh64(Bytes bytes, uint64_t seed) {
    return XXH64(bytes.data(), bytes.size(), seed);
}

Digest128 xxh3_128(Bytes bytes, uint64_t seed) {
    const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
    return {hash.low64, hash.high64};
}

uint64_t hrw_score(uint64_t target_digest, uint64_t name_digest) {
    uint64_t mixed = (target_digest ^ name_digest) + 0x9E3779B97F4A7C15;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    mixed = (mixed ^ (mixed >> 31)) + 0x9E3779B97F4A7C15;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    mixed = (mixed ^ (mixed >> 31)) * 5;
    return std::rotl(mixed, 7) * 9;
}

}  // namespace penstock
