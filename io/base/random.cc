#include "io/base/random.h"

#include <sys/random.h>

namespace penstock {

Random::Random(uint64_t seed) {
    for (uint64_t& word : state_) {
        seed += 0x9E3779B97F4A7C15;
        uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        word = mixed ^ (mixed >> 31);
    }
}

Random Random::from_system() {
    uint64_t seed = 0;
    const ssize_t got = getrandom(&seed, sizeof seed, 0);
    ASSERT(got == sizeof seed);
    return Random(seed);
}

uint64_t Random::next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

uint64_t Random::below(uint64_t bound) {
    ASSERT(bound >= 1);
    // The high half of a 128-bit product is uniform enough: the bias is below bound / 2^64.
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
}

bool Random::chance(uint64_t numerator, uint64_t denominator) {
    return below(denominator) < numerator;
}

std::string Random::alphanumeric(size_t length) {
    static constexpr char alphabet[] =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string text(length, '0');
    for (char& character : text) character = alphabet[below(sizeof alphabet - 1)];
    return text;
}

}  // namespace penstock
