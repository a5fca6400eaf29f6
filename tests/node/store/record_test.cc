#include "node/store/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/base/random.h"
#include "node/store/attributes.h"
#include "node/store/blocks.h"
#include "node/store/pax.h"

namespace penstock::node {
namespace {

std::vector<std::byte> random_bytes(Random& random, size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    return bytes;
}

RecordDraft object_draft(std::string_view name, Bytes content) {
    RecordDraft draft;
    draft.bucket = {7};
    draft.bucket_label = "bucket";
    draft.object = name;
    draft.digest = {1, 2};
    draft.content_bytes = content.size();
    draft.modified_ns = 1'767'225'600'000'000'000;
    draft.display_version = 3;
    draft.checksum.type = ChecksumType::xxhash;
    draft.checksum.size = 8;
    draft.checksum.digest[0] = std::byte{0xAB};
    draft.payload = content;
    draft.payload_crc = crc32c(content);
    return draft;
}

std::vector<std::byte> built(const RecordDraft& draft, RecordStamp stamp = {.lsn = 1}) {
    std::vector<std::byte> bytes(record_bytes(draft));
    build_record(draft, stamp, bytes);
    return bytes;
}

// Names as users bring them, and worse.
std::vector<std::string> awkward_names() {
    std::string slashes;
    while (slashes.size() < 4094) slashes += "z/";
    return {"short",
            std::string(93, 'f'),  // with "bucket/" exactly 100 bytes
            std::string(94, 'g'),  // one more
            std::string(1024, 'y'),
            slashes + "zz",
            "a..b/..c/%2e%2e/%00",
            "with space and 'quotes' \"and\" \\backslash",
            "new\nline",
            "\xFF\xFE\x80raw",
            std::string(4096, '\xFF'),
            "\xC3\xBC\xC3\xAF"
            "utf8",
            std::string(200, 'x') + "\xC3\xBC"};
}

TEST(RecordTest, WhatWasBuiltIsRead) {
    Random random(1);
    const auto content = random_bytes(random, 1000);
    for (const std::string& name : awkward_names()) {
        RecordDraft draft = object_draft(name, content);
        const RecordStamp stamp{1234, 1000, {1, 99}, {5, 6}};
        const auto bytes = built(draft, stamp);

        const auto header = parse_record_header(bytes);
        ASSERT_TRUE(header) << name;
        EXPECT_EQ(header->object, name);
        EXPECT_EQ(header->bucket_label, "bucket");
        EXPECT_EQ(header->head.lsn, 1234U);
        EXPECT_EQ(header->head.durable, 1000U);
        EXPECT_EQ(header->head.version, (Version{1, 99}));
        EXPECT_EQ(header->head.previous, (Digest128{5, 6}));
        EXPECT_EQ(header->head.digest, (Digest128{1, 2}));
        EXPECT_EQ(header->head.bucket.value, 7U);
        EXPECT_EQ(header->head.content_bytes, 1000U);
        EXPECT_EQ(header->head.display_version, 3U);
        EXPECT_EQ(header->head.checksum.digest[0], std::byte{0xAB});
        EXPECT_EQ(header->head.record_bytes(), bytes.size());
        const auto payload = checked_payload(header->head, bytes);
        ASSERT_TRUE(payload);
        EXPECT_TRUE(std::ranges::equal(*payload, content));
    }
}

TEST(RecordTest, ASmallObjectCostsOneHeaderBlockAndItsPaddedBytes) {
    const std::vector<std::byte> content(700);
    EXPECT_EQ(record_bytes(object_draft("name", content)), 512U + 1024U);
    EXPECT_FALSE(needs_pax(object_draft("name", content)));
    RecordDraft draft = object_draft("name", content);
    draft.checksum = {.type = ChecksumType::sha512, .size = 64};
    EXPECT_EQ(record_bytes(draft), 512U + 1024U);
    EXPECT_TRUE(needs_pax(object_draft(std::string(94, 'x'), content)));
}

TEST(RecordTest, AnotherStampLeavesTheRestAsItIs) {
    const std::vector<std::byte> content(10);
    auto bytes = built(object_draft("a", content), {.lsn = 1});
    stamp_record(bytes, {77, 76, {2, 3}, {8, 9}});
    EXPECT_EQ(bytes, built(object_draft("a", content), {77, 76, {2, 3}, {8, 9}}));
}

TEST(RecordTest, AnyFlippedBitOfARecordIsFound) {
    Random random(2);
    const auto content = random_bytes(random, 700);
    for (const std::string& name : {std::string("a"), std::string(300, 'n')}) {
        RecordDraft draft = object_draft(name, content);
        const auto good = built(draft);
        for (size_t bit = 0; bit < good.size() * 8; ++bit) {
            auto bytes = good;
            bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
            const auto header = parse_record_header(bytes);
            if (header) EXPECT_FALSE(checked_payload(header->head, bytes)) << bit;
        }
    }
}

TEST(RecordTest, ACutRecordIsNotRead) {
    const std::vector<std::byte> content(700, std::byte{1});
    const auto good = built(object_draft(std::string(300, 'n'), content));
    for (size_t size = 0; size < good.size(); ++size) {
        const Bytes cut = Bytes(good).first(size);
        const auto header = parse_record_header(cut);
        if (header) EXPECT_FALSE(checked_payload(header->head, cut)) << size;
    }
}

// Times 512 it would wrap around to nothing, and the rest of the headers would begin behind the
// end.
TEST(RecordTest, AHeaderOfMoreBlocksThanCanBeIsNotRead) {
    const std::vector<std::byte> content(700, std::byte{1});
    for (const uint32_t blocks : {1U << 23, (1U << 23) + 1, (1U << 31) + 3, UINT32_MAX}) {
        auto bytes = built(object_draft(std::string(300, 'n'), content));
        constexpr size_t header_blocks_at = 358;
        ASSERT_EQ(load_le<uint32_t>(bytes.data() + header_blocks_at), 3U);
        store_le(bytes.data() + header_blocks_at, blocks);
        stamp_record(bytes, {.lsn = 1});
        EXPECT_FALSE(parse_record_header(bytes)) << blocks;
    }
}

TEST(RecordTest, ZerosAreNoRecordAndOtherBytesAreDamage) {
    RecordHead head;
    std::vector<std::byte> block(512);
    EXPECT_EQ(parse_first_block(block, head), BlockState::zero);
    block[511] = std::byte{1};
    EXPECT_EQ(parse_first_block(block, head), BlockState::damaged);
}

TEST(RecordTest, PaxRecordsCountTheirOwnDigits) {
    // "9 a=bcde\n" has 9 bytes, "11 a=bcdef\n" 11: no record has 10.
    EXPECT_EQ(pax_record_bytes("a", 4), 9U);
    EXPECT_EQ(pax_record_bytes("a", 5), 11U);
    for (size_t size = 0; size < 1200; ++size) {
        std::vector<std::byte> data(pax_record_bytes("comment", size));
        const std::vector<std::byte> value(size, std::byte{'='});
        EXPECT_TRUE(put_pax_record(data, "comment", value).empty());
        const auto fields = parse_pax(data);
        ASSERT_TRUE(fields);
        EXPECT_EQ(fields->comment.size(), size);
    }
}

TEST(RecordTest, Utf8IsToldFromWhatIsNot) {
    EXPECT_TRUE(is_utf8("plain"));
    EXPECT_TRUE(is_utf8("\xC3\xBC \xE2\x82\xAC \xF0\x9F\x98\x80"));
    EXPECT_FALSE(is_utf8("\xC0\xAF"));          // not the shortest form
    EXPECT_FALSE(is_utf8("\xED\xA0\x80"));      // a surrogate
    EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
    EXPECT_FALSE(is_utf8("\xE2\x82"));
    EXPECT_FALSE(is_utf8("\x80"));
}

TEST(AttributesTest, WhatWasWrittenIsRead) {
    Attributes attributes;
    attributes.custom = {{"key", "value"}, {"empty", ""}, {std::string(1, '\0'), "\n="}};
    Extent extent{{1, 2}, 100, 200, 70'000, 0, 0, {11, 22}};
    attributes.extents = {extent};
    attributes.extents.push_back({{3, 4}, 0, 10, 10, 4096, 55, {}});
    attributes.attachment.assign(99, std::byte{7});
    attributes.stored_attachment = StoredAttachment{{5, 6}, 4096, 1000, 77};

    const auto read = parse_attributes(encode_attributes(attributes));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->custom, attributes.custom);
    ASSERT_EQ(read->extents.size(), 2U);
    EXPECT_EQ(read->extents[0].blocks, extent.blocks);
    EXPECT_EQ(read->extents[0].length, 200U);
    EXPECT_EQ(read->extents[1].table_offset, 4096U);
    EXPECT_EQ(read->attachment, attributes.attachment);
    ASSERT_TRUE(read->stored_attachment);
    EXPECT_EQ(read->stored_attachment->crc, 77U);
}

TEST(AttributesTest, ExtentsThatCannotBeAreRefused) {
    Attributes attributes;
    attributes.extents.push_back({{1, 1}, 5, UINT64_MAX - 2, 100, 0, 0, {1}});
    EXPECT_FALSE(parse_attributes(encode_attributes(attributes)));
    attributes.extents[0] = {{1, 1}, 0, 100, 100, 0, 0, {1, 2}};  // a block too many
    EXPECT_FALSE(parse_attributes(encode_attributes(attributes)));
}

TEST(BlocksTest, SumsDoNotDependOnHowTheBytesCame) {
    Random random(3);
    const auto content = random_bytes(random, 200'000);
    BlockSummer whole;
    whole.add(content);
    BlockSummer parts;
    for (size_t at = 0; at < content.size();) {
        const size_t size = std::min<size_t>(content.size() - at, 1 + random.below(90'000));
        parts.add(Bytes(content).subspan(at, size));
        at += size;
    }
    const auto sums = whole.finish();
    EXPECT_EQ(sums.size(), checked_block_count(content.size()));
    EXPECT_EQ(sums, parts.finish());
    EXPECT_EQ(sums[0], crc32c(Bytes(content).first(65536)));
}

// The tools that users dig with. Each must take a segment as it is, in any locale.
class RecordToolTest : public ::testing::Test {
protected:
    void SetUp() override {
        directory_ = ::testing::TempDir() + "/log-record-" + std::to_string(getpid());
        std::filesystem::create_directories(directory_);
        RecordDraft segment;
        segment.kind = RecordKind::segment;
        append(segment);
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    void append(const RecordDraft& draft) {
        const auto bytes = built(draft);
        archive_.append(as_text(bytes));
    }
    void write(size_t zeros) const {
        std::ofstream out(path(), std::ios::binary);
        out << archive_ << std::string(zeros, '\0');
    }
    std::string path() const { return directory_ + "/1.tar"; }
    // The exit status; what it prints goes to `out`.
    int run(const std::string& command) const {
        const std::string line = command + " >" + directory_ + "/out 2>" + directory_ + "/err";
        const int status = std::system(line.c_str());
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    std::string read_file(const std::string& name) const {
        std::ifstream in(directory_ + "/" + name, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    std::string directory_;
    std::string archive_;
};

TEST_F(RecordToolTest, EveryReaderTakesEveryNameAndGivesTheBytesBack) {
    Random random(4);
    std::string expected;
    for (const std::string& name : awkward_names()) {
        const auto content = random_bytes(random, random.below(2000));
        RecordDraft draft = object_draft(name, content);
        Attributes attributes;
        attributes.custom = {{"k", std::string(random.below(700), '\0')}};
        const auto variable = encode_attributes(attributes);
        if (random.chance(1, 2)) draft.variable = variable;
        append(draft);
        expected += hex_from_bytes(as_bytes(name)) + " " + hex_from_bytes(content) + "\n";
    }
    RecordDraft gone = object_draft("short", {});
    gone.kind = RecordKind::tombstone;
    append(gone);

    for (const size_t zeros : {0U, 512U, 1024U, 65536U}) {
        write(zeros);
        for (const char* locale : {"C", "C.UTF-8"}) {
            const std::string prefix = std::string("LC_ALL=") + locale + " ";
            EXPECT_EQ(run(prefix + "tar tf " + path()), 0) << read_file("err");
            EXPECT_EQ(run(prefix + "bsdtar tf " + path()), 0) << read_file("err");
        }
    }
    // Python's own module lists names and bytes; bsdtar (libarchive) then one entry's bytes.
    const std::string script = directory_ + "/read.py";
    std::ofstream(script) << "import sys, tarfile\n"
                             "tar = tarfile.open(sys.argv[1])\n"
                             "for m in tar:\n"
                             "    n = m.name.encode('utf-8', 'surrogateescape')\n"
                             "    if n.startswith(b'bucket/'):\n"
                             "        print(n[7:].hex(), tar.extractfile(m).read().hex())\n";
    ASSERT_EQ(run("python3 " + script + " " + path()), 0) << read_file("err");
    EXPECT_EQ(read_file("out"), expected);
}

TEST_F(RecordToolTest, PlainRecordsTornAnywhereAreStillAnArchive) {
    Random random(5);
    const auto content = random_bytes(random, 3000);
    append(object_draft("first", content));
    const size_t torn_from = archive_.size();
    append(object_draft("second", Bytes(content).first(700)));
    append(object_draft("third", content));
    append(object_draft("fourth", {}));
    const std::string whole = archive_;
    for (int state = 0; state < 60; ++state) {
        archive_ = whole;
        for (size_t at = torn_from; at < archive_.size(); at += 512) {
            if (random.chance(1, 2)) archive_.replace(at, 512, 512, '\0');
        }
        write(8192);
        EXPECT_EQ(run("tar tf " + path()), 0) << state << read_file("err");
        EXPECT_EQ(run("bsdtar tf " + path()), 0) << state << read_file("err");
    }
}

TEST_F(RecordToolTest, PaxRecordsWhoseFirstBlockIsMissingAreStillAnArchive) {
    Random random(6);
    const auto content = random_bytes(random, 3000);
    append(object_draft("first", content));
    const size_t torn_from = archive_.size();
    append(object_draft(std::string(2000, 'n'), content));
    const std::string whole = archive_;
    for (int state = 0; state < 30; ++state) {
        archive_ = whole;
        archive_.replace(torn_from, 512, 512, '\0');
        for (size_t at = torn_from + 512; at < archive_.size(); at += 512) {
            if (random.chance(1, 2)) archive_.replace(at, 512, 512, '\0');
        }
        write(8192);
        EXPECT_EQ(run("tar tf " + path()), 0) << state << read_file("err");
        EXPECT_EQ(run("bsdtar tf " + path()), 0) << state << read_file("err");
    }
}

}  // namespace
}  // namespace penstock::node
