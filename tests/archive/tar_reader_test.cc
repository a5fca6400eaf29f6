#include "archive/tar_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "archive/tar_writer.h"
#include "tests/archive/archive_fixture.h"

namespace penstock::archive {
namespace {

// Gives the bytes in pieces of `piece_bytes`.
TarReader::Read source_of(std::string_view bytes, size_t piece_bytes) {
    return [bytes, piece_bytes](MutableBytes to) mutable -> Result<size_t> {
        const size_t count = std::min({to.size(), piece_bytes, bytes.size()});
        std::memcpy(to.data(), bytes.data(), count);
        bytes.remove_prefix(count);
        return count;
    };
}

struct Entry {
    TarItem item;
    std::string content;
};

Result<std::vector<Entry>> entries_of(std::string_view bytes, size_t piece_bytes = 1000) {
    TarReader reader(source_of(bytes, piece_bytes));
    std::vector<Entry> entries;
    for (;;) {
        TRY(std::optional<TarItem> item, reader.next());
        if (!item) return entries;
        Entry& entry = entries.emplace_back(Entry{std::move(*item), ""});
        std::array<std::byte, 700> piece{};
        for (;;) {
            TRY(const size_t count, reader.read(piece));
            if (count == 0) break;
            entry.content += as_text(Bytes(piece).first(count));
        }
    }
}

std::string archive_of(const std::vector<TarEntry>& entries) {
    std::string bytes;
    for (const TarEntry& entry : entries) {
        std::vector<std::byte> header(tar_header_bytes(entry));
        put_tar_header(header, entry);
        bytes += as_text(header);
        bytes += std::string(entry.size, 'c');
        bytes += std::string(tar_padding_bytes(entry.size), '\0');
    }
    return bytes + std::string(tar_end_bytes, '\0');
}

TEST(TarReader, ReadsWhatTheWriterWrote) {
    const std::string long_name = std::string(90, 'd') + "/" + std::string(300, 'n');
    const std::string archive = archive_of({{"a", 5, 17, {}},
                                            {"empty", 0, 18, "a comment"},
                                            {long_name, 3000, 0, std::string(70'000, 'x')}});
    for (const size_t piece : {1U, 511U, 4096U, 1'000'000U}) {
        const auto entries = entries_of(archive, piece);
        ASSERT_TRUE(entries) << entries.error().context;
        ASSERT_EQ(entries->size(), 3U);
        EXPECT_EQ((*entries)[0].item.name, "a");
        EXPECT_EQ((*entries)[0].item.modified_s, 17U);
        EXPECT_EQ((*entries)[0].content, "ccccc");
        EXPECT_EQ((*entries)[1].item.comment, "a comment");
        EXPECT_EQ((*entries)[2].item.name, long_name);
        EXPECT_EQ((*entries)[2].item.comment.size(), 70'000U);
        EXPECT_EQ((*entries)[2].content.size(), 3000U);
    }
}

TEST(TarReader, ReadsWhatGnuTarWritesInEveryFormat) {
    ScratchFolder folder;
    const std::string deep = std::string(80, 'x') + "/" + std::string(95, 'y');
    folder.write("in/plain", "plain content");
    folder.write("in/" + deep, std::string(10'000, 'z'));
    for (const std::string& format : {"gnu", "pax", "ustar", "posix"}) {
        SCOPED_TRACE(format);
        const bool is_made = folder.run("ln -sf plain in/link; tar --format=" + format +
                                        " -cf a.tar -C in --sort=name .");
        ASSERT_TRUE(is_made) << folder.read("log");
        const auto entries = entries_of(folder.read("a.tar"));
        ASSERT_TRUE(entries) << entries.error().context;
        std::map<std::string, std::string> files;
        for (const Entry& entry : *entries) {
            if (entry.item.is_file) files[entry.item.name] = entry.content;
        }
        EXPECT_EQ(files.size(), 2U);
        EXPECT_EQ(files["./plain"], "plain content");
        EXPECT_EQ(files["./" + deep], std::string(10'000, 'z'));
    }
}

TEST(TarReader, GnuTarListsCommentsWithoutAWord) {
    ScratchFolder folder;
    folder.write("a.tar", archive_of({{"b/a", 5, 17, "penstock1 bucket=x"}}));
    ASSERT_TRUE(folder.run("tar -tf a.tar > names 2> complaints"));
    EXPECT_EQ(folder.read("names"), "b/a\n");
    EXPECT_EQ(folder.read("complaints"), "");
}

TEST(TarReader, WhereverItIsCutTheWholeEntriesComeAndThenAnError) {
    const std::string archive = archive_of({{"a", 600, 1, {}}, {"b", 10, 2, "c"}});
    for (size_t size = 0; size < archive.size(); size += 100) {
        TarReader reader(source_of(std::string_view(archive).substr(0, size), 333));
        Result<std::optional<TarItem>> item = reader.next();
        while (item && *item) item = reader.next();
        const bool has_mark = size >= archive.size() - tar_end_bytes + tar_block_bytes;
        EXPECT_EQ(item.has_value(), has_mark) << size;
        if (!item) EXPECT_EQ(item.error().code, Errc::corrupt);
    }
}

TEST(TarReader, AnExtensionThatIsTooLargeIsRefused) {
    std::string archive = archive_of({{"a", 5, 1, std::string((1 << 20) + 5, 'c')}});
    const auto entries = entries_of(archive, 100'000);
    ASSERT_FALSE(entries);
    EXPECT_EQ(entries.error().code, Errc::corrupt);
}

}  // namespace
}  // namespace penstock::archive
