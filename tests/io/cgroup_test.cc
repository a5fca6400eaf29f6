#include "io/cgroup.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/temporary_directory.h"

namespace penstock::io {
namespace {

class CgroupTest : public ::testing::Test {
protected:
    void write(const std::string& path, const std::string& text) {
        const std::filesystem::path whole = directory_.path() + "/" + path;
        std::filesystem::create_directories(whole.parent_path());
        std::ofstream(whole) << text << '\n';
    }
    CgroupLimits limits() { return read_cgroup_limits(directory_.path()); }

    TemporaryDirectory directory_;
};

TEST_F(CgroupTest, WithoutControlGroupsNothingIsLimited) {
    EXPECT_EQ(limits().processor_count, 0U);
    EXPECT_EQ(limits().memory_bytes, 0U);
}

TEST_F(CgroupTest, AContainerOfVersion2SeesItsOwnLimitsAtTheTop) {
    write("proc/self/cgroup", "0::/");
    write("sys/fs/cgroup/cpu.max", "100000 100000");
    write("sys/fs/cgroup/memory.max", "536870912");
    write("sys/fs/cgroup/memory.high", "max");
    EXPECT_EQ(limits().processor_count, 1U);
    EXPECT_EQ(limits().memory_bytes, 512U << 20);
}

TEST_F(CgroupTest, TheLeastOfAllGroupsAboveCounts) {
    write("proc/self/cgroup", "0::/system.slice/penstockd.service");
    write("sys/fs/cgroup/system.slice/penstockd.service/cpu.max", "max 100000");
    write("sys/fs/cgroup/system.slice/penstockd.service/memory.max", "8589934592");
    write("sys/fs/cgroup/system.slice/penstockd.service/memory.high", "1073741824");
    write("sys/fs/cgroup/system.slice/cpu.max", "350000 100000");
    write("sys/fs/cgroup/system.slice/memory.max", "2147483648");
    EXPECT_EQ(limits().processor_count, 3U);
    EXPECT_EQ(limits().memory_bytes, 1U << 30);
}

TEST_F(CgroupTest, LessThanAProcessorIsOne) {
    write("proc/self/cgroup", "0::/a");
    write("sys/fs/cgroup/a/cpu.max", "20000 100000");
    EXPECT_EQ(limits().processor_count, 1U);
}

TEST_F(CgroupTest, Version1HasADirectoryForEachController) {
    write("proc/self/cgroup", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n1:name=systemd:/x");
    write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "400000");
    write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000");
    write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
    write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
    write("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "268435456");
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
    EXPECT_EQ(limits().processor_count, 4U);
    EXPECT_EQ(limits().memory_bytes, 256U << 20);
}

TEST_F(CgroupTest, WhatIsNoNumberIsNoLimit) {
    write("proc/self/cgroup", "0::/a\nnonsense\n::\n0:");
    write("sys/fs/cgroup/a/cpu.max", "many 0");
    write("sys/fs/cgroup/a/memory.max", "-5");
    write("sys/fs/cgroup/cpu.max", "100000 0");
    EXPECT_EQ(limits().processor_count, 0U);
    EXPECT_EQ(limits().memory_bytes, 0U);
}

TEST(UsableTest, ThisProcessMayUseSomething) {
    EXPECT_GE(usable_core_count(), 1U);
    EXPECT_GE(usable_memory_bytes(), 64U << 20);
}

}  // namespace
}  // namespace penstock::io
