// What we write is read by our scanner and by the readers that users have.
#include "archive/tar_writer.h"

#include "tests/archive/archive_fixture.h"

namespace penstock::archive {
namespace {

std::string entry_of(const TarEntry& entry, std::string_view content) {
    std::string bytes(tar_header_bytes(entry), '\xee');
    const MutableBytes rest =
        put_tar_header(std::as_writable_bytes(std::span(bytes.data(), bytes.size())), entry);
    EXPECT_TRUE(rest.empty());
    return bytes.append(content).append(tar_padding_bytes(content.size()), '\0');
}

std::map<std::string, std::string> sample_members() {
    const std::string folder(100, 'f');
    return {
        {"a", "first"},
        {"empty", ""},
        {"block", std::string(512, 'b')},
        {std::string(100, 'n'), "fits"},
        {std::string(101, 'n'), "no slash to split at"},
        {folder + "/" + std::string(100, 'n'), "split"},
        {folder + "/" + folder + "/name", "prefix too long"},
        {std::string(155, 'p') + "/x", "longest prefix"},
        {"sp ace/\xc3\xa4", "not ASCII"},
        {"deep/" + std::string(990, 'd'), "long"},
    };
}

std::string sample_shard() {
    std::string shard;
    for (const auto& [name, content] : sample_members())
        shard += entry_of({name, content.size(), 1'700'000'000}, content);
    return shard.append(tar_end_bytes, '\0');
}

TEST(TarWriterTest, OurScannerReadsIt) {
    const std::string shard = sample_shard();
    const ShardIndex index = index_of(shard);
    EXPECT_FALSE(index.damaged_at().has_value());
    EXPECT_EQ(members_of(index, shard), sample_members());
}

TEST(TarWriterTest, OtherReadersExtractTheSame) {
    const ScratchFolder scratch;
    scratch.write("s.tar", sample_shard());
    scratch.write("check.py", R"(
import sys, tarfile
out = open("names", "w")
for m in tarfile.open("s.tar"):
    assert m.isfile() and m.mtime == 1700000000, m
    print(m.name, len(tarfile.open("s.tar").extractfile(m.name).read()), file=out)
)");
    ASSERT_TRUE(scratch.run("tar tf s.tar > gnu.names && bsdtar tf s.tar > bsd.names"))
        << scratch.read("log");
    ASSERT_TRUE(scratch.run("PYTHONUTF8=1 python3 check.py")) << scratch.read("log");
    std::string expected;
    for (const auto& [name, content] : sample_members())
        expected += name + " " + std::to_string(content.size()) + "\n";
    EXPECT_EQ(scratch.read("names"), expected);

    for (const char* tool : {"tar", "bsdtar"}) {
        scratch.run("rm -rf out; mkdir out");
        // Names of 990 bytes are longer than a file's name may be.
        std::string shard;
        for (const auto& [name, content] : sample_members()) {
            if (name.size() < 500) shard += entry_of({name, content.size(), 5}, content);
        }
        scratch.write("t.tar", shard.append(tar_end_bytes, '\0'));
        ASSERT_TRUE(scratch.run(std::string(tool) + " xf t.tar -C out")) << scratch.read("log");
        for (const auto& [name, content] : sample_members()) {
            if (name.size() < 500) {
                EXPECT_EQ(scratch.read("out/" + name), content) << tool << " " << name;
            }
        }
    }
}

TEST(TarWriterTest, SizesAndTimesBeyondOctalGoIntoPax) {
    const uint64_t size = (uint64_t{1} << 33) + 5;
    const TarEntry entry{"huge", size, uint64_t{1} << 34};
    ASSERT_EQ(tar_header_bytes(entry), 1536U);
    const std::string header = entry_of(entry, "");
    const ScratchFolder scratch;
    scratch.write("h.tar", header);
    ASSERT_TRUE(
        scratch.run("python3 -c \"import tarfile; m = tarfile.open('h.tar').next(); "
                    "assert m.size == 8589934597 and m.mtime == 17179869184, m.size\""))
        << scratch.read("log");
    // The content is not there: damaged, and the place is where the entry starts.
    const ShardIndex index = index_of(header);
    EXPECT_EQ(index.member_count(), 0U);
    EXPECT_EQ(index.damaged_at(), 0U);
}

TEST(TarWriterTest, PaddingFillsTheBlock) {
    EXPECT_EQ(tar_padding_bytes(0), 0U);
    EXPECT_EQ(tar_padding_bytes(1), 511U);
    EXPECT_EQ(tar_padding_bytes(512), 0U);
    EXPECT_EQ(tar_padding_bytes(513), 511U);
}

// The PAX record counts the digits of its own length: every length near a change of digits.
TEST(TarWriterTest, EveryNameLengthIsReadBack) {
    for (size_t length = 1; length <= 1200; ++length) {
        const std::string name(length, 'x');
        const std::string shard = entry_of({name, 3, 0}, "abc") + std::string(tar_end_bytes, '\0');
        const ShardIndex index = index_of(shard);
        ASSERT_EQ(index.member_count(), 1U) << length;
        ASSERT_EQ(index.member(0).name, name);
    }
}

}  // namespace
}  // namespace penstock::archive
