// The words that all others use: checksums against published values, hexadecimal, errors, log
// lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/base/bytes.h"
#include "io/base/checksum.h"
#include "io/base/log.h"
#include "io/base/random.h"
#include "io/base/recent_log.h"
#include "io/base/result.h"

namespace penstock {
namespace {

TEST(Checksum, Crc32cMatchesRfc3720) {
    // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and counting up.
    std::vector<std::byte> bytes(32);
    EXPECT_EQ(crc32c(bytes), 0x8A9136AAu);
    for (std::byte& byte : bytes) byte = std::byte{0xff};
    EXPECT_EQ(crc32c(bytes), 0x62A8AB43u);
    for (size_t index = 0; index < bytes.size(); ++index) bytes[index] = std::byte(index);
    EXPECT_EQ(crc32c(bytes), 0x46DD794Eu);
    EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);
}

TEST(Checksum, Crc32cGoesOnWhereItStopped) {
    const Bytes all = as_bytes("a penstock carries a reservoir's water to the turbine");
    for (size_t cut = 0; cut <= all.size(); ++cut) {
        const uint32_t first = crc32c(all.first(cut));
        EXPECT_EQ(crc32c(all.subspan(cut), first), crc32c(all));
        EXPECT_EQ(crc32c_combine(first, crc32c(all.subspan(cut)), all.size() - cut), crc32c(all));
    }
}

TEST(Checksum, HrwScoreMatchesTheContract) {
    // Contract, section 1.15: mix(0) and mix(4573842).
    EXPECT_EQ(hrw_score(0, 0), 1905207664160064169u);
    EXPECT_EQ(hrw_score(4573842, 0), 5026071747115404967u);
}

TEST(Checksum, Xxh64MatchesItsReference) {
    EXPECT_EQ(xxh64({}), 0xEF46DB3751D8E999u);
}

TEST(Bytes, HexGoesBothWays) {
    EXPECT_EQ(hex_from_bytes(as_bytes("\x01\xfe")), "01fe");
    EXPECT_EQ(as_text(*bytes_from_hex("4142")), "AB");
    EXPECT_FALSE(bytes_from_hex("4"));
    EXPECT_FALSE(bytes_from_hex("4g"));
    EXPECT_EQ(hex_from_u64(0xabc, 4), "0abc");
}

TEST(Bytes, ReaderStopsAtTheEnd) {
    ByteReader reader(as_bytes("\x01\x02\x03"));
    EXPECT_EQ(reader.read_le<uint16_t>(), 0x0201);
    EXPECT_FALSE(reader.read_le<uint16_t>());
    EXPECT_EQ(as_text(*reader.read_bytes(1)), "\x03");
    EXPECT_TRUE(reader.is_empty());
}

TEST(Random, IsRepeatableAndBounded) {
    Random one(7);
    Random other(7);
    for (int turn = 0; turn < 1000; ++turn) {
        const uint64_t value = one.below(10);
        EXPECT_LT(value, 10u);
        EXPECT_EQ(value, other.below(10));
    }
    EXPECT_EQ(one.alphanumeric(9).size(), 9u);
}

Result<int> half(int value) {
    if (value % 2 != 0) return fail(Errc::invalid, "odd");
    return value / 2;
}
Result<int> quarter(int value) {
    TRY(const int halved, half(value));
    return half(halved);
}

TEST(Result, TryPassesErrorsOn) {
    EXPECT_EQ(quarter(8), 2);
    EXPECT_EQ(quarter(6).error(), (Error{Errc::invalid, "odd"}));
}

TEST(Result, ErrnoBecomesWhatACallerCanDo) {
    EXPECT_EQ(error_from_errno(ENOSPC, "write", "a").code, Errc::full);
    EXPECT_EQ(error_from_errno(EIO, "read", "/mp0/a").context, "read /mp0/a: Input/output error");
}

TEST(Log, LinesAreJsonWithNothingUnescaped) {
    std::string written;
    const Log log(LogLevel::info, true, [&](std::string_view line) { written += line; });
    log.debug("not this");
    log.info("a \"quoted\"\nline", {{"bytes", uint64_t{7}}, {"name", std::string_view("x\\y")}});
    EXPECT_THAT(written,
                testing::EndsWith(
                    R"("level":"info","message":"a \"quoted\"\u000aline","bytes":7,"name":"x\\y"})"
                    "\n"));
}

TEST(RecentLog, KeepsTheLastLinesOfEachKind) {
    using Which = RecentLog::Which;
    RecentLog log;
    log.add(LogLevel::info, "one\n");
    log.add(LogLevel::warning, "two\n");
    log.add(LogLevel::error, "three\n");
    EXPECT_EQ(log.parts(Which::all).now, "one\ntwo\nthree\n");
    EXPECT_EQ(log.parts(Which::warnings).now, "two\nthree\n");
    log.rotate();
    EXPECT_EQ(log.parts(Which::all).now, "");
    EXPECT_EQ(log.parts(Which::all).before, "one\ntwo\nthree\n");

    const std::string line(1000, 'x');
    for (int count = 0; count < 2000; ++count) log.add(LogLevel::info, line);
    const RecentLog::Parts all = log.parts(Which::all);
    EXPECT_LE(all.now.size(), RecentLog::bytes_max[0]);
    EXPECT_LE(all.before.size(), RecentLog::bytes_max[0]);
    EXPECT_GE(all.before.size() + all.now.size(), RecentLog::bytes_max[0]);
    EXPECT_EQ(log.parts(Which::warnings).before, "two\nthree\n")
        << "many lines drive out no warning";
    log.add(LogLevel::error, std::string(1 << 20, 'y'));
    EXPECT_EQ(log.parts(Which::warnings).now.size(), RecentLog::bytes_max[1]);
}

}  // namespace
}  // namespace penstock
