#include "node/service/admission.h"

#include <gtest/gtest.h>

#include <vector>

#include "io/base/units.h"

namespace penstock::node {
namespace {

TEST(AdmissionTest, EachClassHasItsOwnLimitAndTheFreeOneNone) {
    Admission admission({{2, 1, 1}, 1 << 20});
    std::vector<Admission::Ticket> held;
    for (int count = 0; count < 2; ++count) held.push_back(admission.admit(WorkClass::read, 0));
    EXPECT_TRUE(held[0] && held[1]);
    EXPECT_FALSE(admission.admit(WorkClass::read, 0));
    EXPECT_TRUE(admission.admit(WorkClass::write, 0));
    EXPECT_TRUE(admission.admit(WorkClass::listing, 0));
    for (int count = 0; count < 100; ++count) held.push_back(admission.admit(WorkClass::free, 0));
    EXPECT_TRUE(held.back());
    EXPECT_EQ(admission.refused_count(WorkClass::read), 1U);

    held.clear();
    EXPECT_EQ(admission.in_flight(WorkClass::read), 0U);
    EXPECT_TRUE(admission.admit(WorkClass::read, 0));
}

TEST(AdmissionTest, FullBuffersRefuseAllButWhatIsFree) {
    Admission admission({{8, 8, 8}, 1000});
    EXPECT_TRUE(admission.admit(WorkClass::read, 999));
    for (const WorkClass work : {WorkClass::read, WorkClass::write, WorkClass::listing}) {
        EXPECT_FALSE(admission.admit(work, 1000));
    }
    EXPECT_TRUE(admission.admit(WorkClass::free, 1 << 30));
}

TEST(AdmissionTest, ATicketThatMovesEndsOnce) {
    Admission admission({{4, 4, 4}, 1000});
    {
        Admission::Ticket first = admission.admit(WorkClass::write, 0);
        Admission::Ticket second = std::move(first);
        Admission::Ticket third;
        third = std::move(second);
        EXPECT_TRUE(third);
        EXPECT_EQ(admission.in_flight(WorkClass::write), 1U);
    }
    EXPECT_EQ(admission.in_flight(WorkClass::write), 0U);
}

TEST(MemoryPlanTest, HalfAGibibyteIsEnoughForOneCore) {
    const MemoryPlan plan = plan_memory(512_MiB, 1);
    EXPECT_EQ(plan.admission.buffer_bytes_max, 128_MiB);
    EXPECT_EQ(plan.admission.in_flight_max[0], 512U);
    const uint64_t all = plan.admission.buffer_bytes_max + plan.kept_buffer_bytes_max +
                         plan.index_cache_bytes + plan.catalogue_cache_bytes;
    EXPECT_LE(all, 256_MiB);
}

TEST(MemoryPlanTest, EveryMachineGetsSomethingThatWorks) {
    for (const uint64_t memory : {64_MiB, 256_MiB, 1_GiB, 64_GiB, 1024_GiB}) {
        for (const uint32_t cores : {0U, 1U, 2U, 64U, 256U}) {
            const MemoryPlan plan = plan_memory(memory, cores);
            EXPECT_GE(plan.admission.buffer_bytes_max, 16_MiB);
            EXPECT_LE(plan.admission.buffer_bytes_max, 1_GiB);
            for (const uint32_t limit : plan.admission.in_flight_max) EXPECT_GE(limit, 4U);
            EXPECT_GE(plan.catalogue_cache_bytes, 1_MiB);
        }
    }
}

}  // namespace
}  // namespace penstock::node
