// The store against a map: random changes, reads and listings, with restarts, power cuts and lost
// processes in between. A failure prints its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

class ModelTest : public ::testing::TestWithParam<uint64_t> {
protected:
    struct Object {
        std::string content;
        uint64_t display_version = 1;
        Version version;
    };

    void SetUp() override { open(); }

    void open() {
        harness_ = std::make_unique<StoreHarness>(loop_, storage_);
        harness_->options().segment_bytes = 96 << 10;
        harness_->options().small_object_bytes_max = 8 << 10;
        harness_->options().reserve_bytes = 4096;
        harness_->options().is_compacting = random_.chance(1, 2);
        if (random_.chance(2, 3)) harness_->options().catalogue_cache_bytes = 1 << 20;
        const Status opened = harness_->open();
        ASSERT_TRUE(opened) << opened.error().context;
    }

    std::string any_name() {
        const uint64_t number = random_.below(12);
        return number == 0 ? std::string(500, 'l')
                           : "dir" + std::to_string(number % 3) + "/" + std::to_string(number);
    }

    void put() {
        const std::string name = any_name();
        const size_t size = random_.chance(1, 8) ? random_.below(60'000) : random_.below(9'000);
        const std::string content = content_of(random_.next(), size);
        PutOptions options;
        const auto known = model_.find(name);
        const uint64_t condition = random_.below(4);
        if (condition == 0) options.condition = {Condition::Kind::absent, {}};
        if (condition == 1 && known != model_.end()) {
            options.condition = {Condition::Kind::exactly, known->second.version};
        }
        const bool holds = condition != 0 || known == model_.end();
        const auto put = harness_->put(name, content, std::move(options));
        ASSERT_EQ(put.has_value(), holds) << (put ? "" : put.error().context);
        if (!put) {
            EXPECT_EQ(put.error().code, Errc::condition_failed);
            return;
        }
        Object& object = model_[name];
        EXPECT_GT(put->version, object.version);
        object.display_version =
            known == model_.end() || object.version.is_absent() ? 1 : object.display_version + 1;
        EXPECT_EQ(put->display_version, object.display_version);
        object.content = content;
        object.version = put->version;
    }

    void remove() {
        const std::string name = any_name();
        const Status removed = harness_->remove(name);
        EXPECT_EQ(removed.has_value(), model_.erase(name) == 1);
    }

    void set_custom() {
        const std::string name = any_name();
        const auto changed =
            harness_->set_custom(name, {{"k", std::string(random_.below(600), 'v')}});
        EXPECT_EQ(changed.has_value(), model_.contains(name));
        if (changed) model_[name].version = changed->version;
    }

    void get() {
        const std::string name = any_name();
        const auto known = model_.find(name);
        const auto got = harness_->get(name);
        ASSERT_EQ(got.has_value(), known != model_.end()) << (got ? "" : got.error().context);
        if (!got) {
            EXPECT_EQ(got.error().code, Errc::not_found);
            return;
        }
        EXPECT_EQ(*got == known->second.content, true);
        EXPECT_EQ(harness_->stat(name)->version, known->second.version);
        const size_t offset = random_.below(known->second.content.size() + 1);
        const size_t length = random_.below(5000);
        EXPECT_EQ(
            *harness_->get(name, {offset, length}) == known->second.content.substr(offset, length),
            true);
    }

    void list() {
        std::vector<std::string> names;
        std::vector<std::string> expected;
        for (const auto& [name, object] : model_) expected.push_back(name);
        for (;;) {
            const auto page =
                harness_->list({.after = names.empty() ? "" : names.back(),
                                .limit = static_cast<uint32_t>(1 + random_.below(5))});
            ASSERT_TRUE(page) << page.error().context;
            if (page->empty()) break;
            names.insert(names.end(), page->begin(), page->end());
        }
        EXPECT_EQ(names, expected);
    }

    void compact() {
        const auto freed = harness_->compact();
        ASSERT_TRUE(freed) << freed.error().context;
        const StoreUsage usage = harness_->store().usage();
        EXPECT_LE(usage.live_bytes, usage.segment_bytes);
    }

    void restart() {
        const uint64_t how = random_.below(3);
        if (how == 0) {
            harness_->stop();
        } else {
            // A lost process leaves all that it wrote, a power cut what was synced and some more.
            io::MemoryStorage left =
                how == 1 ? storage_.crash_keeping_all() : storage_.crash(random_);
            harness_->stop();
            harness_.reset();
            storage_ = std::move(left);
        }
        harness_.reset();
        open();
    }

    TestLoop loop_;
    Random random_{GetParam()};
    io::MemoryStorage storage_;
    std::unique_ptr<StoreHarness> harness_;
    std::map<std::string, Object> model_;
};

TEST_P(ModelTest, TheStoreIsAMapThatOutlivesEverything) {
    for (int step = 0; step < 400 && !HasFailure(); ++step) {
        SCOPED_TRACE(step);
        switch (random_.below(16)) {
            case 0:
                restart();
                break;
            case 1:
                list();
                break;
            case 2:
            case 3:
                remove();
                break;
            case 4:
                if (random_.chance(1, 3)) {
                    compact();
                } else {
                    set_custom();
                }
                break;
            case 5:
            case 6:
            case 7:
            case 8:
                get();
                break;
            default:
                put();
                break;
        }
    }
    for (const auto& [name, object] : model_) {
        EXPECT_EQ(*harness_->get(name) == object.content, true) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Range<uint64_t>(1, 41));

}  // namespace
}  // namespace penstock::node
