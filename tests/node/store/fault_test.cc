// Every call on the disk fails in turn, in every way: nothing is acknowledged that is not kept, and
// the next operation is fine.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/node/store/upload_language.h"

namespace penstock::node {
namespace {

enum class CatalogueKind : uint8_t { memory, level };

class FaultTest : public ::testing::TestWithParam<CatalogueKind> {
protected:
    using Operation = std::function<Status(StoreHarness&)>;

    void configure(StoreHarness& harness) const {
        harness.options().segment_bytes = 64 << 10;
        harness.options().small_object_bytes_max = 8 << 10;
        harness.options().aligned_payload_bytes_min = 4 << 10;
        harness.options().reserve_bytes = 4096;
        if (GetParam() == CatalogueKind::level) harness.options().catalogue_cache_bytes = 1 << 20;
    }

    static std::vector<io::Fault> faults() {
        using io::FaultEffect;
        return {{.effect = FaultEffect::fails, .error_number = EIO},
                {.effect = FaultEffect::fails, .error_number = ENOSPC},
                {.effect = FaultEffect::fails, .error_number = EINTR},
                {.effect = FaultEffect::fails, .error_number = EMFILE},
                {.effect = FaultEffect::is_short, .error_number = EIO},
                {.effect = FaultEffect::fails_afterward, .error_number = EIO}};
    }

    // `operation` on a store that holds `before`, each call failing in turn; afterwards, and after
    // a power cut, `allowed` are the only contents of "a", the first of them if it succeeded.
    void each_call_fails(const Operation& operation,
                         const std::vector<std::optional<std::string>>& allowed) {
        for (const io::Fault& kind : faults()) {
            for (uint64_t at = 0;; ++at) {
                ASSERT_LT(at, 2000U) << "the operation has no end";
                SCOPED_TRACE(::testing::Message() << "effect " << int(kind.effect) << " errno "
                                                  << kind.error_number << " at call " << at);
                io::Fault fault = kind;
                fault.at = at;
                if (!one_fails(operation, allowed, fault)) break;
                if (HasFatalFailure() || HasFailure()) return;
            }
        }
    }

    // Returns whether a call met the fault.
    bool one_fails(const Operation& operation,
                   const std::vector<std::optional<std::string>>& allowed, const io::Fault& fault) {
        io::MemoryStorage storage;
        io::FaultPlan plan;
        bool is_met = false;
        bool is_done = false;
        {
            StoreHarness harness(loop_, storage, &plan);
            configure(harness);
            EXPECT_TRUE(harness.open());
            EXPECT_TRUE(harness.put("a", before_));
            EXPECT_TRUE(harness.put("other", "kept"));
            if (prepare_) prepare_(harness);
            plan.reset();
            plan.add(fault);
            is_done = operation(harness).has_value();
            check(harness, allowed, is_done, "at once");
            const bool was_met = plan.met_count() > 0;
            const auto next = harness.put("next", "fine");
            if (!next && was_met) ADD_FAILURE() << "next: " << next.error().context;
            if (next) EXPECT_EQ(get_at_last(harness, "next"), "fine");
            const auto listed = harness.list();
            if (!listed && plan.met_count() == 0) ADD_FAILURE() << listed.error().context;
            is_met = plan.met_count() > 0;
            EXPECT_EQ(plan.repeated_sync_count(), 0U);
            for (int cut = 0; cut < 3; ++cut) {
                Random random(random_.next());
                io::MemoryStorage left = storage.crash(random);
                StoreHarness after(loop_, left);
                configure(after);
                const Status opened = after.open();
                EXPECT_TRUE(opened) << opened.error().context;
                if (!opened) continue;
                check(after, allowed, is_done, "after a power cut");
                if (next) EXPECT_EQ(get_at_last(after, "next"), "fine");
            }
        }
        // And after an orderly stop, which may have met the fault itself.
        StoreHarness again(loop_, storage);
        configure(again);
        const Status opened = again.open();
        EXPECT_TRUE(opened) << opened.error().context;
        if (opened) check(again, allowed, is_done, "after a restart");
        return is_met || plan.met_count() > 0;
    }

    // A read may meet the fault itself: once.
    static std::string get_at_last(StoreHarness& harness, std::string_view name) {
        auto got = harness.get(name);
        if (!got) got = harness.get(name);
        return got ? *got : got.error().context;
    }

    void check(StoreHarness& harness, const std::vector<std::optional<std::string>>& allowed,
               bool is_done, const char* when) {
        EXPECT_EQ(get_at_last(harness, "other"), "kept") << when;
        for (const auto& [name, content] : more_) {
            const auto got = harness.get(name);
            if (!content) {
                EXPECT_TRUE(!got) << name << " is back " << when;
            } else {
                EXPECT_TRUE(get_at_last(harness, name) == *content) << name << " " << when;
            }
        }
        if (also_) also_(harness, when);
        if (!damaged_.empty()) {
            auto read = harness.get(damaged_);
            if (!read && read.error().code != Errc::corrupt) read = harness.get(damaged_);
            if (read) ADD_FAILURE() << damaged_ << " is served " << when;
            if (!read) EXPECT_EQ(read.error().code, Errc::corrupt) << when;
        }
        auto got = harness.get("a");
        if (!got && got.error().code != Errc::not_found) got = harness.get("a");
        if (!got && got.error().code != Errc::not_found) {
            ADD_FAILURE() << when << ": " << got.error().context;
            return;
        }
        const std::optional<std::string> value =
            got ? std::optional<std::string>(*got) : std::nullopt;
        if (is_done) {
            EXPECT_EQ(value.has_value(), allowed[0].has_value()) << when;
            EXPECT_TRUE(value == allowed[0]) << when;
        } else {
            EXPECT_TRUE(std::ranges::find(allowed, value) != allowed.end()) << when;
        }
    }

    template <typename T>
    static Status status_of(const Result<T>& result) {
        return result ? Status() : Status(fail(result.error()));
    }

    TestLoop loop_;
    Random random_{77};
    std::string before_ = content_of(1, 3000);
    // Done before any call fails, and what must hold of other names all the time.
    std::function<void(StoreHarness&)> prepare_;
    std::map<std::string, std::optional<std::string>> more_;
    std::function<void(StoreHarness&, const char* when)> also_;
    std::string
        damaged_;  // a name whose record rotted: `corrupt` all the time, never anything else
};

TEST_P(FaultTest, PutOfASmallObject) {
    const std::string content = content_of(2, 5000);
    each_call_fails([&](StoreHarness& harness) { return status_of(harness.put("a", content)); },
                    {content, before_});
}

TEST_P(FaultTest, PutOfASmallObjectWithAttributes) {
    const std::string content = content_of(2, 500);
    each_call_fails(
        [&](StoreHarness& harness) {
            PutOptions options;
            options.custom = {{"key", std::string(700, 'v')}};
            return status_of(harness.put("a", content, std::move(options)));
        },
        {content, before_});
}

TEST_P(FaultTest, PutOfALargeObject) {
    const std::string content = content_of(2, 60'000);
    each_call_fails([&](StoreHarness& harness) { return status_of(harness.put("a", content)); },
                    {content, before_});
}

TEST_P(FaultTest, OverwriteOfALargeObject) {
    before_ = content_of(3, 50'000);
    const std::string content = content_of(2, 20'000);
    each_call_fails([&](StoreHarness& harness) { return status_of(harness.put("a", content)); },
                    {content, before_});
}

TEST_P(FaultTest, Adoption) {
    const std::string content = content_of(2, 60'000);
    prepare_ = [&](StoreHarness& harness) {
        const auto file = harness.disk().blocking().open("foreign", io::OpenMode::create);
        EXPECT_TRUE(file && (*file)->write_exactly(as_bytes(content), 0));
    };
    each_call_fails(
        [&](StoreHarness& harness) {
            return status_of(harness.run(
                harness.store().adopt(0, StoreHarness::name("a"), "/foreign", PutOptions())));
        },
        {content, before_});
}

TEST_P(FaultTest, PutThatNeedsANewSegment) {
    const std::string content = content_of(2, 8000);
    each_call_fails(
        [&](StoreHarness& harness) {
            for (int index = 0; index < 8; ++index) {
                (void)harness.put("filler" + std::to_string(index), content_of(4, 8000));
            }
            return status_of(harness.put("a", content));
        },
        {content, before_});
}

TEST_P(FaultTest, Removal) {
    each_call_fails([&](StoreHarness& harness) { return harness.remove("a"); },
                    {std::nullopt, before_});
}

TEST_P(FaultTest, ManyRemovalsAtOnce) {
    each_call_fails(
        [&](StoreHarness& harness) -> Status {
            const std::vector<std::string_view> names{"a", "nothing"};
            const auto removed = harness.run(
                harness.store().remove_many(0, {1}, "bucket", names, Durability::group));
            if (!removed) return fail(removed.error());
            EXPECT_FALSE((*removed)[1]);
            return (*removed)[0];
        },
        {std::nullopt, before_});
}

TEST_P(FaultTest, ChangeOfMetadata) {
    each_call_fails(
        [&](StoreHarness& harness) { return status_of(harness.set_custom("a", {{"k", "v"}})); },
        {before_});
}

TEST_P(FaultTest, UploadInParts) {
    const std::string first = content_of(2, 20'000);
    each_call_fails(
        [&](StoreHarness& harness) -> Status {
            const auto upload = begin_upload(harness, "a");
            if (!upload) return fail(upload.error());
            const auto one = put_part(harness, "a", *upload, 1, first);
            if (!one) return fail(one.error());
            const auto two = put_part(harness, "a", *upload, 2, "two");
            if (!two) return fail(two.error());
            return status_of(complete(harness, "a", *upload));
        },
        {first + "two", before_});
}

// A part that fails can be put again; a completion that fails can be tried again.
TEST_P(FaultTest, RetriesOfAnUpload) {
    const std::string first = content_of(2, 20'000);
    each_call_fails(
        [&](StoreHarness& harness) -> Status {
            auto upload = begin_upload(harness, "a");
            if (!upload) upload = begin_upload(harness, "a");
            if (!upload) return fail(upload.error());
            if (!put_part(harness, "a", *upload, 1, first)) {
                EXPECT_TRUE(put_part(harness, "a", *upload, 1, first));
            }
            if (complete(harness, "a", *upload)) return Status();
            return status_of(complete(harness, "a", *upload));
        },
        {first, before_});
}

TEST_P(FaultTest, AbortOfAnUpload) {
    each_call_fails(
        [&](StoreHarness& harness) -> Status {
            const auto upload = begin_upload(harness, "a");
            if (!upload) return fail(upload.error());
            const auto part = put_part(harness, "a", *upload, 1, content_of(2, 20'000));
            if (!part) return fail(part.error());
            const Status aborted = abort_upload(harness, "a", *upload);
            if (aborted) EXPECT_FALSE(complete(harness, "a", *upload));
            return aborted;
        },
        {before_});
}

TEST_P(FaultTest, AppendAndFlush) {
    before_ = content_of(3, 50'000);
    each_call_fails(
        [&](StoreHarness& harness) -> Status {
            const auto handle = append(harness, "a", "", "+1");
            if (!handle) return fail(handle.error());
            const auto next = append(harness, "a", *handle, "+2");
            if (!next) return fail(next.error());
            return status_of(flush(harness, "a", *next));
        },
        {before_ + "+1+2", before_});
}

TEST_P(FaultTest, CopyByReference) {
    const std::string source = content_of(2, 30'000);
    prepare_ = [&](StoreHarness& harness) { EXPECT_TRUE(harness.put("source", source)); };
    more_ = {{"source", source}};
    each_call_fails([](StoreHarness& harness) { return status_of(copy(harness, "source", "a")); },
                    {source, before_});
}

TEST_P(FaultTest, RenameOfALargeObject) {
    const std::string source = content_of(2, 30'000);
    prepare_ = [&](StoreHarness& harness) { EXPECT_TRUE(harness.put("source", source)); };
    also_ = [&](StoreHarness& harness, const char* when) {
        const bool is_old = get_at_last(harness, "source") == source;
        const bool is_new = get_at_last(harness, "a") == source;
        EXPECT_NE(is_old, is_new) << when;
    };
    each_call_fails([](StoreHarness& harness) { return status_of(rename(harness, "source", "a")); },
                    {source, before_});
}

TEST_P(FaultTest, WritingTheCatalogue) {
    each_call_fails(
        [&](StoreHarness& harness) -> Status {
            const auto listed = harness.list();
            if (listed) EXPECT_EQ(listed->size(), 2U);
            return status_of(listed);
        },
        {before_});
}

// A log with garbage, tombstones, a large object and variable attributes: nothing of it is lost or
// back, whichever call fails while it is compacted.
TEST_P(FaultTest, Compaction) {
    const std::string large = content_of(5, 30'000);
    prepare_ = [&](StoreHarness& harness) {
        EXPECT_TRUE(harness.put("gone", "to be removed"));
        PutOptions options;
        options.custom = {{"key", std::string(700, 'v')}};
        EXPECT_TRUE(harness.put("custom", "with metadata", std::move(options)));
        EXPECT_TRUE(harness.put("large", large));
        for (int round = 0; round < 3; ++round) {
            for (uint64_t index = 0; index < 6; ++index) {
                const std::string name = "n" + std::to_string(index);
                const std::string content = content_of(100 + index + 10U * uint64_t(round), 7000);
                EXPECT_TRUE(harness.put(name, content));
                more_[name] = content;
            }
            if (round == 1) EXPECT_TRUE(harness.remove("gone"));
        }
        EXPECT_TRUE(harness.remove("n3"));
    };
    more_ = {{"gone", std::nullopt}, {"custom", "with metadata"}, {"large", large}};
    uint64_t freed_once = 0;
    each_call_fails(
        [&](StoreHarness& harness) {
            more_["n3"] = std::nullopt;
            const auto freed = harness.compact();
            if (freed) freed_once = std::max(freed_once, *freed);
            return status_of(freed);
        },
        {before_});
    EXPECT_GT(freed_once, 100'000U);
}

// A rotten record is given up by compaction: whichever call fails, its name never answers anything
// but `corrupt`, and its neighbours are not lost.
TEST_P(FaultTest, CompactionOfADamagedSegment) {
    damaged_ = "rotten";
    prepare_ = [&](StoreHarness& harness) {
        const std::string content = content_of(9, 6000);
        EXPECT_TRUE(harness.put(damaged_, content));
        for (uint64_t index = 0; index < 24; ++index) {
            const std::string name = "n" + std::to_string(index % 4);
            more_[name] = content_of(100 + index, 7000);
            EXPECT_TRUE(harness.put(name, *more_[name]));
        }
        const auto file = harness.disk().blocking().open("log/0000000001.tar", io::OpenMode::write);
        ASSERT_TRUE(file);
        std::vector<std::byte> bytes(*(*file)->size_bytes());
        ASSERT_TRUE((*file)->read(bytes, 0));
        const auto found = std::ranges::search(bytes, as_bytes(content));
        ASSERT_NE(found.begin(), bytes.end());
        const auto at = static_cast<uint64_t>(found.begin() - bytes.begin());
        ASSERT_TRUE((*file)->write_exactly(as_bytes(std::string("damage")), at + 1000));
        ASSERT_TRUE((*file)->sync());
    };
    uint64_t freed_once = 0;
    each_call_fails(
        [&](StoreHarness& harness) {
            const auto freed = harness.compact();
            if (freed) freed_once = std::max(freed_once, *freed);
            return status_of(freed);
        },
        {before_});
    EXPECT_GT(freed_once, 100'000U);
}

// Recovery after a power cut, each of its calls failing in turn: it says so, and the next start is
// fine.
TEST_P(FaultTest, Recovery) {
    io::MemoryStorage cut;
    const std::string large = content_of(5, 30'000);
    {
        io::MemoryStorage storage;
        StoreHarness harness(loop_, storage);
        configure(harness);
        ASSERT_TRUE(harness.open());
        ASSERT_TRUE(harness.put("a", before_));
        ASSERT_TRUE(harness.put("large", large));
        (void)harness.list();
        ASSERT_TRUE(harness.put("other", "kept"));
        cut = storage.crash(random_);
    }
    for (const io::Fault& kind : faults()) {
        for (uint64_t at = 0; at < 2000; ++at) {
            SCOPED_TRACE(at);
            io::MemoryStorage storage = cut.clone();
            io::FaultPlan plan;
            io::Fault fault = kind;
            fault.at = at;
            plan.add(fault);
            {
                StoreHarness harness(loop_, storage, &plan);
                configure(harness);
                const Status opened = harness.open();
                if (!opened) EXPECT_GT(plan.met_count(), 0U) << opened.error().context;
                if (opened) check(harness, {before_}, true, "in spite of the fault");
            }
            io::MemoryStorage left = storage.crash(random_);
            StoreHarness again(loop_, left);
            configure(again);
            const Status opened = again.open();
            ASSERT_TRUE(opened) << opened.error().context;
            check(again, {before_}, true, "the next start");
            ASSERT_EQ(get_at_last(again, "large"), large);
            if (plan.met_count() == 0) break;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Catalogues, FaultTest,
                         ::testing::Values(CatalogueKind::memory, CatalogueKind::level),
                         [](const auto& instance) {
                             return instance.param == CatalogueKind::memory ? "Memory" : "Level";
                         });

}  // namespace
}  // namespace penstock::node
