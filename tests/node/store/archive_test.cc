// The segments of a log, read by a stranger in order with deletions applied, give the small objects
// back: after power cuts, too.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

constexpr const char* script =
    "import glob, sys, tarfile\n"
    "objects = {}\n"
    "for path in sorted(glob.glob(sys.argv[1] + '/log/*.tar')):\n"
    "    with tarfile.open(path) as tar:\n"
    "        for member in tar:\n"
    "            name = member.name.encode('utf-8', 'surrogateescape')\n"
    "            if name.startswith(b'.penstock/delete/'):\n"
    "                objects.pop(name[17:], None)\n"
    "            elif name.startswith(b'.penstock/object/'):\n"
    "                objects.pop(name[17:], None)\n"
    "            elif not name.startswith(b'.penstock/'):\n"
    "                objects[name] = tar.extractfile(member).read()\n"
    "for name in sorted(objects):\n"
    "    print(name.hex(), objects[name].hex())\n";

TEST(ArchiveTest, SegmentsGiveTheSmallObjectsBackAfterPowerCuts) {
    TestLoop loop;
    Random random(5);
    io::MemoryStorage storage;
    const std::string directory = ::testing::TempDir() + "/log-archive-" + std::to_string(getpid());
    for (int round = 0; round < 12; ++round) {
        std::map<std::string, std::string> objects;
        io::MemoryStorage left;
        {
            StoreHarness harness(loop, storage);
            harness.options().segment_bytes = 96 << 10;
            harness.options().small_object_bytes_max = 8 << 10;
            harness.options().reserve_bytes = 4096;
            ASSERT_TRUE(harness.open());
            for (int step = 0; step < 25; ++step) {
                const std::string name =
                    step % 5 == 4 ? std::string(300, 'l') : "n" + std::to_string(random.below(9));
                if (random.chance(1, 10)) {
                    ASSERT_TRUE(harness.compact());
                } else if (random.chance(1, 5)) {
                    (void)harness.remove(name);
                } else {
                    ASSERT_TRUE(harness.put(name, content_of(random.next(), random.below(5000))));
                }
            }
            left = storage.crash(random);
        }
        storage = std::move(left);
        // What counts is what the next start sees; it also cuts the torn tail off.
        {
            StoreHarness harness(loop, storage);
            harness.options().segment_bytes = 96 << 10;
            harness.options().reserve_bytes = 4096;
            ASSERT_TRUE(harness.open());
            for (const std::string& name : *harness.list()) objects[name] = *harness.get(name);
        }
        std::filesystem::remove_all(directory);
        std::filesystem::create_directories(directory);
        ASSERT_TRUE(storage.write_to(directory));
        std::ofstream(directory + "/read.py") << script;
        const std::string command = "python3 " + directory + "/read.py " + directory + " >" +
                                    directory + "/out 2>" + directory + "/err";
        const int status = std::system(command.c_str());
        ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        std::string expected;
        for (const auto& [name, content] : objects) {
            expected += hex_from_bytes(as_bytes("bucket/" + name)) + " " +
                        hex_from_bytes(as_bytes(content)) + "\n";
        }
        std::ifstream in(directory + "/out");
        const std::string found{std::istreambuf_iterator<char>(in), {}};
        EXPECT_EQ(found == expected, true) << "round " << round;
    }
    std::filesystem::remove_all(directory);
}

// A head is put before the content without moving it.
TEST(ArchiveTest, ContentOfASmallObjectHasRoomBeforeIt) {
    TestLoop loop;
    io::MemoryStorage storage;
    StoreHarness harness(loop, storage);
    ASSERT_TRUE(harness.open());
    ASSERT_TRUE(harness.put("a", content_of(1, 5000)));
    ASSERT_TRUE(harness.put("large", content_of(2, 300'000)));
    for (const char* name : {"a", "large"}) {
        auto opened = harness.run(harness.store().get(0, StoreHarness::name(name), {100, 1000}));
        ASSERT_TRUE(opened);
        ASSERT_TRUE(opened->body.is_chunk());
        EXPECT_GE(opened->body.chunk().begin, 512U);
    }
}

}  // namespace
}  // namespace penstock::node
