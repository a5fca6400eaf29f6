// A torn tail and rot, told apart.
#include "node/store/log_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/memory_disk.h"
#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

using ::testing::ElementsAre;

// Counts what is read of another file.
class CountingFile final : public io::BlockingFile {
public:
    explicit CountingFile(std::unique_ptr<io::BlockingFile> inner) : inner_(std::move(inner)) {}
    Result<size_t> read(MutableBytes buffer, uint64_t offset) override {
        Result<size_t> count = inner_->read(buffer, offset);
        read_bytes += count.value_or(0);
        return count;
    }
    Status write_exactly(Bytes bytes, uint64_t offset) override {
        return inner_->write_exactly(bytes, offset);
    }
    Status sync() override { return inner_->sync(); }
    Result<uint64_t> size_bytes() override { return inner_->size_bytes(); }
    Status truncate(uint64_t size_bytes) override { return inner_->truncate(size_bytes); }
    Status allocate(uint64_t size_bytes) override { return inner_->allocate(size_bytes); }
    Status lock_exclusively() override { return inner_->lock_exclusively(); }
    int descriptor() const override { return inner_->descriptor(); }

    uint64_t read_bytes = 0;

private:
    std::unique_ptr<io::BlockingFile> inner_;
};

class LogReaderTest : public ::testing::Test {
protected:
    static constexpr uint32_t number = 3;
    static constexpr uint64_t segment_size = 256 << 10;

    void SetUp() override {
        disk_ = storage_.make_blocking_disk();
        ASSERT_TRUE(disk_->make_directory(log_directory));
        file_ = *disk_->open(segment_path(number), io::OpenMode::create);
        ASSERT_TRUE(file_->write_exactly(std::vector<std::byte>(segment_size), 0));
        RecordDraft header;
        header.kind = RecordKind::segment;
        append(header, 0);
    }

    // At the end; returns where.
    uint64_t append(const RecordDraft& draft, Lsn durable) {
        std::vector<std::byte> bytes(record_bytes(draft));
        const uint64_t at = end_;
        build_record(draft, {lsn(at), durable, {1, lsn(at)}, previous_}, bytes);
        EXPECT_TRUE(file_->write_exactly(bytes, at));
        previous_ = draft.kind == RecordKind::segment ? Digest128{} : draft.digest;
        end_ += bytes.size();
        return at;
    }
    uint64_t append_object(std::string_view name, Lsn durable = 0, size_t bytes = 1500) {
        content_ = content_of(end_, bytes);
        RecordDraft draft;
        draft.bucket = {1};
        draft.bucket_label = "b";
        draft.object = name;
        draft.digest = digest(name);
        draft.content_bytes = content_.size();
        draft.payload = as_bytes(content_);
        draft.payload_crc = crc32c(draft.payload);
        return append(draft, durable);
    }
    static Digest128 digest(std::string_view name) { return digest_of({1}, name, 0); }
    static Lsn lsn(uint64_t offset) {
        return lsn_at(number, static_cast<uint32_t>(offset / block_bytes));
    }
    void zero(uint64_t offset) {
        ASSERT_TRUE(file_->write_exactly(std::vector<std::byte>(block_bytes), offset));
    }
    void flip(uint64_t offset) {
        ASSERT_TRUE(storage_.flip_bit(segment_path(number), offset * 8 + 3));
    }

    SegmentEnd find_end(Lsn durable = 0) {
        SegmentBytes bytes(*file_, number, segment_size);
        return *find_segment_end(bytes, lsn(0), durable);
    }
    // The names of whole records up to `to`, and of damaged ones with a '!'.
    std::vector<std::string> walk(Lsn to) { return walk(*file_, to); }
    static std::vector<std::string> walk(io::BlockingFile& file, Lsn to) {
        std::vector<std::string> seen;
        SegmentVisitor visitor;
        visitor.on_record = [&](const RecordHeader& header, const Place&) -> Status {
            if (header.head.kind == RecordKind::object) seen.emplace_back(header.object);
            return {};
        };
        visitor.on_damage = [&](const Damage& damage) {
            std::string name = "?";
            for (const char* known : {"a", "b", "c"}) {
                if (damage.digest == digest(known)) name = known;
            }
            seen.push_back("!" + name);
        };
        SegmentBytes bytes(file, number, *file.size_bytes());
        EXPECT_TRUE(walk_segment(bytes, lsn(0), to, std::nullopt, visitor));
        return seen;
    }

    io::MemoryStorage storage_;
    std::unique_ptr<io::BlockingDisk> disk_;
    std::unique_ptr<io::BlockingFile> file_;
    uint64_t end_ = 0;
    Digest128 previous_;
    std::string content_;
};

TEST_F(LogReaderTest, AWholeLogEndsBehindItsLastRecord) {
    append_object("a");
    append_object("b");
    EXPECT_EQ(find_end().end, lsn(end_));
    EXPECT_THAT(walk(lsn(end_)), ElementsAre("a", "b"));
}

TEST_F(LogReaderTest, OfLargeRecordsLittleMoreThanTheHeadersIsRead) {
    for (const char* name : {"a", "b", "c", "d", "e", "f"}) append_object(name, 0, 300'000);
    for (const char* name : {"g", "h", "i"}) append_object(name);
    CountingFile file(*disk_->open(segment_path(number), io::OpenMode::read_direct));
    EXPECT_THAT(walk(file, lsn(end_)), ElementsAre("a", "b", "c", "d", "e", "f", "g", "h", "i"));
    EXPECT_LT(file.read_bytes, 100'000U);
}

TEST_F(LogReaderTest, OfSmallRecordsEachByteIsReadOnce) {
    std::vector<std::string> names;
    while (end_ < 4 << 20) append_object(names.emplace_back("n" + std::to_string(names.size())));
    CountingFile file(*disk_->open(segment_path(number), io::OpenMode::read_direct));
    EXPECT_EQ(walk(file, lsn(end_)), names);
    // Once, but for the records that lie across the ends of two pieces.
    EXPECT_LT(file.read_bytes, end_ + 50'000);
}

TEST_F(LogReaderTest, ATornRecordIsTheEndWhateverLiesBehindIt) {
    append_object("a");
    const uint64_t torn = append_object("b");
    append_object("c");
    for (const uint64_t block : {1U, 0U}) {
        zero(torn + block * block_bytes);
        EXPECT_EQ(find_end().end, lsn(torn));
    }
}

TEST_F(LogReaderTest, WhatALaterMarkCoversIsRotAndTheRestLives) {
    append_object("a");
    const uint64_t rotten = append_object("b");
    const uint64_t covered = end_;
    append_object("c", lsn(covered));
    zero(rotten + block_bytes);
    EXPECT_EQ(find_end().end, lsn(end_));
    // Its payload is checked by whoever reads it: the name is there.
    EXPECT_THAT(walk(lsn(end_)), ElementsAre("a", "b", "c"));
    zero(rotten);
    EXPECT_EQ(find_end().end, lsn(end_));
    EXPECT_THAT(walk(lsn(end_)), ElementsAre("a", "!b", "c"));
}

TEST_F(LogReaderTest, AFlippedBitIsRotEvenInTheLastRecordThatNoMarkCovers) {
    append_object("a");
    const uint64_t last = append_object("b");
    flip(last + 200);
    EXPECT_EQ(find_end().end, lsn(end_));
    EXPECT_THAT(walk(lsn(end_)), ElementsAre("a", "!b"));
    flip(last + 200);
    flip(last + block_bytes + 7);  // in the content
    EXPECT_EQ(find_end().end, lsn(end_));
    EXPECT_THAT(walk(lsn(end_)), ElementsAre("a", "b"));
}

TEST_F(LogReaderTest, ALostHeaderIsNamedByTheRecordBehindIt) {
    append_object("a");
    const uint64_t lost = append_object("b");
    const std::vector<std::byte> garbage(block_bytes, std::byte{0x5A});
    ASSERT_TRUE(file_->write_exactly(garbage, lost));
    append_object("c");
    EXPECT_EQ(find_end().end, lsn(end_));
    EXPECT_THAT(walk(lsn(end_)), ElementsAre("a", "!b", "c"));
}

TEST_F(LogReaderTest, ARecordInAnotherPlaceIsNotBelieved) {
    const uint64_t first = append_object("a");
    std::vector<std::byte> copy(end_ - first);
    ASSERT_TRUE(file_->read(copy, first));
    ASSERT_TRUE(file_->write_exactly(copy, end_));
    EXPECT_THAT(walk(lsn(end_)), ElementsAre("a"));
    // What is no record here is damage, never the other place's object.
    EXPECT_THAT(walk(lsn(end_ + copy.size())), ElementsAre("a", "!?"));
}

TEST_F(LogReaderTest, AClosingMarkWithNothingBehindItSaysThatTheLogWasClosed) {
    append_object("a");
    RecordDraft mark;
    mark.kind = RecordKind::mark;
    mark.flags = record_is_closing;
    append(mark, lsn(end_));
    EXPECT_TRUE(find_end().is_closed);
    SegmentBytes bytes(*file_, number, segment_size);
    EXPECT_TRUE(find_segment_end(bytes, lsn(end_), lsn(end_))->is_closed);
    // Debris behind it: a later run wrote here and was cut off.
    const std::vector<std::byte> debris(block_bytes, std::byte{1});
    ASSERT_TRUE(file_->write_exactly(debris, end_ + 10 * block_bytes));
    SegmentBytes again(*file_, number, segment_size);
    EXPECT_FALSE(find_segment_end(again, lsn(end_), lsn(end_))->is_closed);
}

}  // namespace
}  // namespace penstock::node
