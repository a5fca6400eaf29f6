#include "archive/tar_scanner.h"

#include "archive/tar_header.h"
#include "archive/tar_writer.h"
#include "io/base/random.h"
#include "tests/archive/archive_fixture.h"

namespace penstock::archive {
namespace {

using Members = std::map<std::string, std::string>;

// A header made by hand: whatever the field says, with the checksum set right.
struct HandMade {
    std::string name;
    char type = '0';
    std::string size = "0";
    std::string magic = std::string("ustar\00000", 8);
    std::string prefix;
    bool is_signed = false;

    std::string block() const {
        std::string bytes(512, '\0');
        const auto put = [&](size_t at, std::string_view text) {
            bytes.replace(at, text.size(), text);
        };
        put(0, name);
        put(124, size);
        put(148, "        ");
        bytes[156] = type;
        put(257, magic);
        put(345, prefix);
        int64_t sum = 0;
        for (const char byte : bytes)
            sum += is_signed ? static_cast<signed char>(byte) : static_cast<unsigned char>(byte);
        std::array<char, 8> text{};
        std::snprintf(text.data(), text.size(), "%06llo", static_cast<unsigned long long>(sum));
        put(148, std::string_view(text.data(), 7));
        bytes[155] = ' ';
        return bytes;
    }
};

std::string padded(std::string content) {
    content.resize((content.size() + 511) / 512 * 512, '\0');
    return content;
}
std::string octal(uint64_t value) {
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), "%011llo", static_cast<unsigned long long>(value));
    return text.data();
}
std::string file(const std::string& name, const std::string& content) {
    return HandMade{.name = name, .size = octal(content.size())}.block() + padded(content);
}
std::string extension(char type, const std::string& content) {
    return HandMade{.name = "ext", .type = type, .size = octal(content.size())}.block() +
           padded(content);
}
std::string record(const std::string& keyword, const std::string& value) {
    const size_t rest = keyword.size() + value.size() + 3;
    size_t length = rest + std::to_string(rest).size();
    if (rest + std::to_string(length).size() != length) ++length;
    return std::to_string(length) + " " + keyword + "=" + value + "\n";
}
const std::string end_mark(1024, '\0');

struct Scanned {
    Members members;
    std::optional<uint64_t> damaged_at;
};
Scanned scanned(const std::string& shard, const TarLimits& limits = {}) {
    const ShardIndex index = index_of(shard, limits);
    return {members_of(index, shard), index.damaged_at()};
}

// Every real writer and dialect on this machine, names short and long.
class WriterTest : public testing::TestWithParam<const char*> {};

TEST_P(WriterTest, EveryMemberIsFoundWithItsContent) {
    const std::string command = GetParam();
    const ScratchFolder scratch;
    Members expected{{"t/a", "first"},
                     {"t/empty", ""},
                     {"t/block", std::string(512, 'b')},
                     {"t/big", std::string(70'000, 'z')}};
    const bool is_v7 = command.contains("v7");
    if (!is_v7) {
        expected["t/" + std::string(90, 'd') + "/" + std::string(90, 'n')] = "split or long";
        if (!command.contains("ustar") && !command.contains("USTAR")) {
            expected["t/" + std::string(200, 'e') + "/" + std::string(200, 'm')] = "long";
            expected["t/\xc3\xa4"] = "not ASCII";
        }
    }
    for (const auto& [name, content] : expected) scratch.write(name, content);
    ASSERT_TRUE(scratch.run("ln -s a t/link && ln t/a t/zz && mkdir t/folder && " + command))
        << scratch.read("log");
    const std::string shard = scratch.read("s.tar");
    Scanned result = scanned(shard);
    EXPECT_FALSE(result.damaged_at.has_value());
    // Which of the two hard links is the file depends on the order of the folder.
    if (!result.members.contains("t/a")) result.members["t/a"] = result.members["t/zz"];
    result.members.erase("t/zz");
    EXPECT_EQ(result.members, expected);
}

constexpr const char* python =
    "PYTHONUTF8=1 python3 -c \"import tarfile; "
    "f = tarfile.open('s.tar', 'w', format=tarfile.";
const std::string python_ustar = std::string(python) + "USTAR_FORMAT); f.add('t')\"";
const std::string python_gnu = std::string(python) + "GNU_FORMAT); f.add('t')\"";
const std::string python_pax = std::string(python) + "PAX_FORMAT); f.add('t')\"";
INSTANTIATE_TEST_SUITE_P(
    All, WriterTest,
    testing::Values("tar cf s.tar --format=v7 t", "tar cf s.tar --format=oldgnu t",
                    "tar cf s.tar --format=gnu t", "tar cf s.tar --format=ustar t",
                    "tar cf s.tar --format=posix t", "bsdtar -cf s.tar --format=v7 t",
                    "bsdtar -cf s.tar --format=ustar t", "bsdtar -cf s.tar --format=gnutar t",
                    "bsdtar -cf s.tar --format=pax t", python_ustar.c_str(), python_gnu.c_str(),
                    python_pax.c_str()));

TEST(TarScannerTest, SparseFilesArePassedOver) {
    const ScratchFolder scratch;
    scratch.write("before", "1");
    scratch.write("z", "2");
    // Enough holes that the old format needs more blocks of its map.
    ASSERT_TRUE(
        scratch.run("for i in $(seq 0 60); do dd if=/dev/urandom of=hole bs=4096 count=1 "
                    "seek=$((i*4)) conv=notrunc; done"));
    for (const char* form :
         {"--format=gnu", "--format=posix --sparse-version=0.0",
          "--format=posix --sparse-version=0.1", "--format=posix --sparse-version=1.0"}) {
        ASSERT_TRUE(scratch.run(std::string("tar cSf s.tar ") + form + " before hole z"));
        const Scanned result = scanned(scratch.read("s.tar"));
        EXPECT_EQ(result.members, (Members{{"before", "1"}, {"z", "2"}})) << form;
        EXPECT_FALSE(result.damaged_at.has_value()) << form;
    }
}

TEST(TarScannerTest, OldAndOddHeadersAreRead) {
    const std::string high = "\xe4\xf6\xfc";
    const std::string shard =
        HandMade{.name = "v7", .type = '\0', .size = "3 ", .magic = ""}.block() + padded("abc") +
        HandMade{.name = "folder/", .type = '\0', .magic = ""}.block() +
        HandMade{.name = high, .size = octal(1), .is_signed = true}.block() + padded("s") +
        HandMade{.name = "n", .size = "          2", .prefix = "p"}.block() + padded("pn") +
        HandMade{.name = "g",
                 .size = octal(1),
                 .magic = std::string("ustar  \0", 8),
                 .prefix = "00000000"}
            .block() +
        padded("g") +
        HandMade{.name = "b", .size = std::string("\x80\0\0\0\0\0\0\0\0\0\0\4", 12)}.block() +
        padded("four") + HandMade{.name = "contiguous", .type = '7', .size = octal(1)}.block() +
        padded("c") + HandMade{.name = "link", .type = '1', .size = octal(999)}.block() +
        HandMade{.name = "label", .type = 'V'}.block() + extension('D', "Ydump") +
        file("last", "l") + end_mark;
    const Scanned result = scanned(shard);
    EXPECT_EQ(result.members, (Members{{"v7", "abc"},
                                       {high, "s"},
                                       {"p/n", "pn"},
                                       {"g", "g"},
                                       {"b", "four"},
                                       {"contiguous", "c"},
                                       {"last", "l"}}));
    EXPECT_FALSE(result.damaged_at.has_value());
}

TEST(TarScannerTest, PaxRecordsOverrideHeadersAndEndWithTheirEntry) {
    const std::string shard = extension('g', record("path", "global")) + file("x", "1") +
                              extension('x', record("path", "local") + record("size", "2")) +
                              HandMade{.name = "y", .size = octal(7)}.block() + padded("22") +
                              extension('X', record("path", "")) + file("sun", "3") + end_mark;
    EXPECT_EQ(scanned(shard).members, (Members{{"global", "1"}, {"local", "22"}, {"sun", "3"}}));
}

TEST(TarScannerTest, LongNamesAndLongLinksBelongToTheNextEntry) {
    const std::string long_name(300, 'l');
    const std::string shard = extension('K', "target") +
                              extension('L', long_name + std::string(1, '\0')) + file("cut", "1") +
                              file("next", "2") + end_mark;
    EXPECT_EQ(scanned(shard).members, (Members{{long_name, "1"}, {"next", "2"}}));
}

TEST(TarScannerTest, ReadsOnBehindAnEndMark) {
    const std::string shard = file("a", "1") + end_mark + file("b", "2") + end_mark;
    EXPECT_EQ(scanned(shard).members, (Members{{"a", "1"}, {"b", "2"}}));
    const Scanned trailing = scanned(file("a", "1") + end_mark + std::string(700, 'x'));
    EXPECT_EQ(trailing.members, (Members{{"a", "1"}}));
    EXPECT_FALSE(trailing.damaged_at.has_value());
}

TEST(TarScannerTest, WhatIsNoTarHasNoIndex) {
    EXPECT_TRUE(scan("").empty());
    EXPECT_TRUE(scan("hello").empty());
    EXPECT_TRUE(scan(std::string(5000, 'x')).empty());
    EXPECT_TRUE(scan(std::string(512, '\0')).empty());
    EXPECT_EQ(index_of(end_mark).member_count(), 0U);  // `tar cf x.tar -T /dev/null`
}

TEST(TarScannerTest, DamageIsWhereTheLastWholeMemberEnds) {
    const std::string good = file("a", "1");
    const auto expect_damage = [&](const std::string& bad, const TarLimits& limits = {}) {
        const Scanned result = scanned(good + bad + file("behind", "2") + end_mark, limits);
        EXPECT_EQ(result.members, (Members{{"a", "1"}}));
        EXPECT_EQ(result.damaged_at, good.size());
    };
    expect_damage(std::string(512, 'x'));
    const auto sized = [](std::string size) { return HandMade{.name = "s", .size = size}.block(); };
    expect_damage(sized("9"));
    expect_damage(sized("-1"));
    expect_damage(sized("7777777777777"));                                  // runs on
    expect_damage(sized(std::string(12, '\xff')));                          // negative
    expect_damage(sized("\xbf" + std::string(11, '\xff')));                 // overflows
    expect_damage(sized(std::string("\x80\0\0\0\x7f\0\0\0\0\0\0\0", 12)));  // 2^62 and more
    expect_damage(extension('x', "5 a=b\n"));
    expect_damage(extension('x', "99 path=a\n"));
    expect_damage(extension('x', "0 =\n"));
    expect_damage(extension('x', "99999999999999999999999 path=a\n"));
    expect_damage(extension('x', record("size", "18446744073709551615")));
    expect_damage(extension('x', record("size", "-1")));
    expect_damage(extension('x', record("path", std::string(4097, 'p'))));
    expect_damage(extension('L', std::string(4097, 'p')));
    expect_damage(extension('x', record("path", "x")) + end_mark);
    expect_damage(HandMade{.name = "bomb", .type = 'x', .size = octal(1 << 21)}.block());
    expect_damage("", TarLimits{.members_max = 1});
}

TEST(TarScannerTest, NamesThatNobodyCanAskForArePassedOver) {
    const std::string shard = extension('x', record("path", std::string("a\0b", 3))) +
                              file("x", "1") + file("", "2") + file("./", "") + file("ok", "3") +
                              end_mark;
    const Scanned result = scanned(shard);
    EXPECT_EQ(result.members, (Members{{"ok", "3"}}));
    EXPECT_FALSE(result.damaged_at.has_value());
}

// Many extension headers in a row neither grow memory nor hide the entry behind them.
TEST(TarScannerTest, AnExtensionBombIsOnlyReadThrough) {
    std::string shard;
    for (int turn = 0; turn < 2000; ++turn) shard += extension('x', record("path", "p"));
    shard += file("x", "1") + end_mark;
    EXPECT_EQ(scanned(shard).members, (Members{{"p", "1"}}));
}

TEST(TarScannerTest, EveryCutKeepsTheWholeMembers) {
    const std::string long_name(200, 'n');
    const std::string shard = file("a", std::string(600, '1')) +
                              extension('x', record("path", long_name)) + file("b", "22") +
                              extension('L', "c") + file("x", "3") + end_mark;
    const size_t a_end = 512 + 1024;
    const size_t b_end = a_end + 1024 + 1024;
    const size_t c_end = b_end + 1024 + 1024;
    for (size_t size = 512; size <= shard.size(); ++size) {
        SCOPED_TRACE(size);
        const std::string cut = shard.substr(0, size);
        const Scanned result = scanned(cut);
        // A member is whole once its content is; the padding behind it may be missing.
        ASSERT_EQ(result.members.contains("a"), size >= 512 + 600);
        ASSERT_EQ(result.members.contains(long_name), size >= b_end - 512 + 2);
        ASSERT_EQ(result.members.contains("c"), size >= c_end - 512 + 1);
        if (size < 512 + 600) {
            ASSERT_EQ(result.damaged_at, 0U);
        } else if (size > a_end && size < b_end - 512 + 2) {
            ASSERT_EQ(result.damaged_at, a_end);
        } else if (size > b_end && size < c_end - 512 + 1) {
            ASSERT_EQ(result.damaged_at, b_end);
        } else {
            ASSERT_FALSE(result.damaged_at.has_value());
        }
        for (const size_t piece : {1UL, 7UL, 511UL, 513UL}) ASSERT_EQ(scan(cut, piece), scan(cut));
    }
}

TEST(TarScannerTest, RandomCorruptionStaysInBounds) {
    std::string shard;
    for (int number = 0; number < 8; ++number)
        shard += extension('x', record("path", "n" + std::to_string(number))) +
                 file("f", std::string(static_cast<size_t>(number) * 100, 'c'));
    shard += end_mark;
    Random random(42);
    for (int turn = 0; turn < 20'000; ++turn) {
        std::string bad = shard;
        for (uint64_t flips = 1 + random.below(4); flips > 0; --flips)
            bad[random.below(bad.size())] = static_cast<char>(random.next());
        const std::vector<std::byte> encoded = scan(bad);
        ASSERT_EQ(scan(bad, 1 + random.below(700)), encoded) << turn;
        if (encoded.empty()) continue;
        ASSERT_TRUE(ShardIndex::open(encoded).has_value()) << turn;  // checks every member's bounds
    }
}

TEST(TarScannerTest, IndexesAHundredThousandMembers) {
    std::string shard;
    shard.reserve(100'000 * 1024);
    for (int number = 0; number < 100'000; ++number) {
        const std::string name = std::to_string(number * 7919 % 100'000) + ".jpg";
        std::string header(512, '\0');
        put_tar_header(std::as_writable_bytes(std::span(header)), {name, name.size(), 0});
        shard += header + padded(name);
    }
    shard += end_mark;
    const ShardIndex index = index_of(shard);
    ASSERT_EQ(index.member_count(), 100'000U);
    for (int number = 0; number < 100'000; number += 37) {
        const std::string name = std::to_string(number) + ".jpg";
        const auto member = index.find(name);
        ASSERT_TRUE(member.has_value());
        ASSERT_EQ(shard.substr(member->offset, member->size), name);
    }
}

}  // namespace
}  // namespace penstock::archive
