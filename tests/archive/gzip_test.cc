#include "archive/gzip.h"

#include <gtest/gtest.h>
#include <isa-l/igzip_lib.h>

#include <string>

#include "io/base/random.h"

namespace penstock::archive {
namespace {

// What an unpacker makes of it, which checks its CRC-32 and length, too; nullopt: it is no gzip.
std::optional<std::string> unpacked(Bytes packed, size_t bytes_max) {
    std::string to(bytes_max + 1, '\0');
    inflate_state state;
    isal_inflate_init(&state);
    state.crc_flag = ISAL_GZIP;
    state.next_in = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(packed.data()));
    state.avail_in = static_cast<uint32_t>(packed.size());
    state.next_out = reinterpret_cast<uint8_t*>(to.data());
    state.avail_out = static_cast<uint32_t>(to.size());
    if (isal_inflate_stateless(&state) != ISAL_DECOMP_OK) return std::nullopt;
    to.resize(state.total_out);
    return to;
}

TEST(GzipTest, WhatIsPackedUnpacks) {
    Random random(7);
    for (const size_t size :
         {size_t{0}, size_t{1}, size_t{1000}, size_t{700'000}, gzip_bytes_max}) {
        std::string noise(size, '\0');
        for (char& byte : noise) byte = static_cast<char>(random.next());
        EXPECT_EQ(unpacked(gzip(as_bytes(noise)), size), noise) << size;
        const std::string lines(size, 'x');
        const auto packed = gzip(as_bytes(lines));
        EXPECT_EQ(unpacked(packed, size), lines) << size;
        if (size >= 1000) {
            EXPECT_LT(packed.size(), size / 4);
        }
    }
}

TEST(GzipTest, ADamagedByteIsNoticed) {
    auto packed = gzip(as_bytes(std::string(1000, 'x')));
    packed[packed.size() - 6] ^= std::byte{1};  // of the CRC-32
    EXPECT_EQ(unpacked(packed, 1000), std::nullopt);
}

}  // namespace
}  // namespace penstock::archive
