// A set of mountpaths on disks in memory: placement, moves, what is refused at a start; each call
// of a disk fails in turn, and the power goes at any moment of an attach and a detach.
#include "node/store/mountpath_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/node/store/set_harness.h"

namespace penstock::node {
namespace {

class MountpathSetTest : public ::testing::Test {
protected:
    static std::string key(int number) { return "k" + std::to_string(1000 + number); }
    static std::string content(int number) {
        return content_of(static_cast<uint64_t>(number), number % 5 == 0 ? 20'000 : 300);
    }
    static void fill(SetHarness& harness, int count) {
        for (int number = 0; number < count; ++number) {
            PutOptions options;
            options.custom = {{"number", std::to_string(number)}};
            ASSERT_TRUE(harness.put(key(number), content(number), std::move(options)));
        }
    }
    static void expect_all(SetHarness& harness, int count) {
        for (int number = 0; number < count; ++number) {
            const auto got = harness.get(key(number));
            ASSERT_TRUE(got) << key(number) << ": " << got.error().context;
            ASSERT_TRUE(*got == content(number)) << key(number);
        }
        const auto listed = harness.list();
        ASSERT_TRUE(listed) << listed.error().context;
        ASSERT_EQ(listed->size(), static_cast<size_t>(count));
        EXPECT_TRUE(std::ranges::is_sorted(*listed));
    }

    TestLoop loop_;
    Drive a_{"/a"};
    Drive b_{"/b"};
    Drive c_{"/c"};
};

TEST_F(MountpathSetTest, ObjectsLieOnAllAndAreFoundAgain) {
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
        fill(harness, 60);
        expect_all(harness, 60);
        for (const char* path : {"/a", "/b", "/c"}) EXPECT_GT(harness.objects_at(path), 5U);
        EXPECT_EQ(harness.set().usage().objects, 60U);
        ASSERT_TRUE(harness.remove(key(7)));
        EXPECT_EQ(harness.remove(key(7)).error().code, Errc::not_found);
        ASSERT_TRUE(harness.put(key(7), content(7)));
    }
    SetHarness again(loop_);
    ASSERT_TRUE(again.begin({&c_, &a_, &b_}));
    expect_all(again, 60);
}

TEST_F(MountpathSetTest, ListingsInPagesAndDirectories) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
    std::set<std::string> names;
    for (int number = 0; number < 50; ++number) {
        const std::string name = "d" + std::to_string(number % 7) + "/" + std::to_string(number);
        names.insert(name);
        ASSERT_TRUE(harness.put(name, "x"));
    }
    ListOptions options;
    options.limit = 3;
    const auto listed = harness.list(options);
    ASSERT_TRUE(listed);
    EXPECT_EQ(*listed, std::vector<std::string>(names.begin(), names.end()));
    options.is_recursive = false;
    options.wants_attributes = true;
    const auto folded = harness.list(options);
    ASSERT_TRUE(folded);
    EXPECT_EQ(folded->size(), 7U);
}

TEST_F(MountpathSetTest, ManyAreRemovedAtOnce) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    fill(harness, 20);
    std::vector<std::string> keys;
    for (int number = 10; number < 30; ++number) keys.push_back(key(number));
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    const auto outcomes =
        harness.run(harness.set().remove_many(0, {1}, "bucket", views, Durability::group));
    ASSERT_TRUE(outcomes);
    for (size_t index = 0; index < views.size(); ++index) {
        EXPECT_EQ((*outcomes)[index].has_value(), index < 10) << index;
    }
    expect_all(harness, 10);
}

TEST_F(MountpathSetTest, CopiesAndRenamesGoFromOneToAnother) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
    fill(harness, 30);
    for (int number = 0; number < 30; ++number) {
        const std::string copy = "copy" + std::to_string(number);
        const std::string moved = "moved" + std::to_string(number);
        const auto copied = harness.run(harness.set().copy(
            0, SetHarness::name(key(number)), SetHarness::name(copy), ObjectCopyOptions()));
        ASSERT_TRUE(copied) << copied.error().context;
        EXPECT_EQ(*harness.get(copy), content(number));
        const auto attributes = harness.run(harness.set().stat(0, SetHarness::name(copy)));
        ASSERT_TRUE(attributes);
        EXPECT_EQ(attributes->custom.at(0).second, std::to_string(number));
        ASSERT_TRUE(harness.run(
            harness.set().rename(0, SetHarness::name(copy), SetHarness::name(moved), true)));
        EXPECT_EQ(harness.get(copy).error().code, Errc::not_found);
        EXPECT_EQ(*harness.get(moved), content(number));
    }
}

TEST_F(MountpathSetTest, AMissingOneIsRefusedOrAnswersErrors) {
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
        fill(harness, 40);
    }
    {
        SetHarness harness(loop_);
        const Status opened = harness.begin({&a_, &b_});
        ASSERT_FALSE(opened);
        EXPECT_EQ(opened.error().code, Errc::condition_failed);
        EXPECT_NE(opened.error().context.find("/c"), std::string::npos);
    }
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_}, true));
        int missing = 0;
        for (int number = 0; number < 40; ++number) {
            const auto got = harness.get(key(number));
            if (got) {
                EXPECT_EQ(*got, content(number));
            } else {
                EXPECT_EQ(got.error().code, Errc::unavailable);
                ++missing;
                const auto put = harness.put(key(number), "new");
                EXPECT_EQ(put.error().code, Errc::unavailable);
            }
        }
        EXPECT_GT(missing, 3);
        EXPECT_EQ(harness.list().error().code, Errc::unavailable);
        harness.plug(c_);
        const Status back = harness.run(harness.set().attach(0, "/c"));
        ASSERT_TRUE(back) << back.error().context;
        expect_all(harness, 40);
    }
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
    expect_all(harness, 40);
}

TEST_F(MountpathSetTest, CopiesStrangersAndOldDisksAreRefused) {
    Drive other("/other");
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_}));
        fill(harness, 5);
        SetHarness stranger(loop_);
        ASSERT_TRUE(stranger.begin({&other}));
        ASSERT_TRUE(stranger.put("x", "y"));
    }
    Drive old("/old");
    old.storage = b_.storage.clone();
    const auto refused = [&](const std::vector<Drive*>& drives, const char* word) {
        SetHarness harness(loop_);
        const Status opened = harness.begin(drives);
        ASSERT_FALSE(opened);
        EXPECT_EQ(opened.error().code, Errc::condition_failed);
        EXPECT_NE(opened.error().context.find(word), std::string::npos) << opened.error().context;
    };
    refused({&a_, &b_, &old}, "same mountpath");
    refused({&a_, &b_, &other}, "another node");
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_}));
        harness.plug(other);
        EXPECT_EQ(harness.run(harness.set().attach(0, "/other")).error().code,
                  Errc::condition_failed);
    }
    refused({&a_, &old}, "old copy");
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    expect_all(harness, 5);
}

TEST_F(MountpathSetTest, AttachAndDetachMoveObjectsAsTheyAre) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_}));
    fill(harness, 60);
    std::vector<ObjectAttributes> before;
    for (int number = 0; number < 60; ++number) {
        before.push_back(*harness.run(harness.set().stat(0, SetHarness::name(key(number)))));
    }
    harness.plug(b_);
    harness.plug(c_);
    ASSERT_TRUE(harness.run(harness.set().attach(0, "/b")));
    // Found before they are moved, too.
    expect_all(harness, 60);
    EXPECT_EQ(harness.moves_begun, 1);
    ASSERT_TRUE(harness.run(harness.set().settle(0)));
    const MoveFigures moves = harness.run(harness.set().moves(0));
    EXPECT_FALSE(moves.is_moving);
    EXPECT_TRUE(moves.outcome);
    EXPECT_EQ(moves.objects, harness.objects_at("/b"));
    ASSERT_TRUE(harness.run(harness.set().attach(0, "/c")));
    ASSERT_TRUE(harness.run(harness.set().settle(0)));
    expect_all(harness, 60);
    for (const char* path : {"/a", "/b", "/c"}) EXPECT_GT(harness.objects_at(path), 5U) << path;
    EXPECT_EQ(harness.metadata_on, (std::vector<std::string>{"/a", "/b", "/c"}));
    for (int number = 0; number < 60; ++number) {
        const auto now = harness.run(harness.set().stat(0, SetHarness::name(key(number))));
        ASSERT_TRUE(now);
        const ObjectAttributes& was = before[static_cast<size_t>(number)];
        EXPECT_EQ(now->version, was.version);
        EXPECT_EQ(now->display_version, was.display_version);
        EXPECT_EQ(now->modified_ns, was.modified_ns);
        EXPECT_EQ(now->custom, was.custom);
        EXPECT_TRUE(std::ranges::equal(now->checksum.bytes(), was.checksum.bytes()));
    }
    const Status detached = harness.run(harness.set().detach(0, "/a", false));
    ASSERT_TRUE(detached) << detached.error().context;
    EXPECT_EQ(harness.objects_at("/a"), UINT64_MAX);
    expect_all(harness, 60);
    harness.stop();
    SetHarness again(loop_);
    ASSERT_TRUE(again.begin({&b_, &c_}));
    expect_all(again, 60);
    // It may come back, empty.
    again.plug(a_);
    const Status back = again.run(again.set().attach(0, "/a"));
    ASSERT_TRUE(back) << back.error().context;
    ASSERT_TRUE(again.run(again.set().settle(0)));
    expect_all(again, 60);
    EXPECT_GT(again.objects_at("/a"), 5U);
}

TEST_F(MountpathSetTest, ChangesWhileObjectsMove) {
    SetHarness harness(loop_);
    harness.options().move_grace_ns = uint64_t{3600} * 1'000'000'000;
    ASSERT_TRUE(harness.begin({&a_}));
    fill(harness, 40);
    harness.stop();
    // A start that is given one more: nothing has moved yet, and nothing does for an hour.
    SetHarness moving(loop_);
    ASSERT_TRUE(moving.begin({&a_, &b_}));
    moving.stop();
    SetHarness again(loop_);
    ASSERT_TRUE(again.begin({&a_, &b_}));
    for (int number = 0; number < 40; ++number) {
        const std::string name = key(number);
        switch (number % 4) {
            case 0:
                ASSERT_TRUE(again.remove(name));
                EXPECT_EQ(again.get(name).error().code, Errc::not_found);
                break;
            case 1: {
                const auto put = again.put(name, content(number));
                ASSERT_TRUE(put);
                EXPECT_EQ(put->display_version, 2U);
                break;
            }
            case 2: {
                PutOptions options;
                options.condition = {Condition::Kind::absent, {}};
                EXPECT_EQ(again.put(name, "no", std::move(options)).error().code,
                          Errc::condition_failed);
                break;
            }
            case 3:
                ASSERT_TRUE(again.run(again.set().set_custom(
                    0, SetHarness::name(name), {{"more", "1"}}, false, Durability::group)));
                break;
        }
    }
    const auto check = [&](SetHarness& of) {
        for (int number = 0; number < 40; ++number) {
            const auto got = of.get(key(number));
            ASSERT_EQ(got.has_value(), number % 4 != 0) << number;
            if (got) EXPECT_EQ(*got, content(number));
        }
        EXPECT_EQ(of.list()->size(), 30U);
    };
    check(again);
    ASSERT_TRUE(again.run(again.set().settle(0)));
    check(again);
    again.stop();
    SetHarness last(loop_);
    ASSERT_TRUE(last.begin({&a_, &b_}));
    check(last);
}

TEST_F(MountpathSetTest, DisabledIsErrorsUntilItIsEnabled) {
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_}));
        fill(harness, 20);
        EXPECT_TRUE(*harness.run(harness.set().disable(0, "/b")));
        EXPECT_FALSE(*harness.run(harness.set().disable(0, "/b")));
        EXPECT_EQ(harness.run(harness.set().disable(0, "/a")).error().code, Errc::condition_failed);
        EXPECT_EQ(harness.run(harness.set().detach(0, "/b", false)).error().code,
                  Errc::condition_failed);
        EXPECT_EQ(harness.metadata_on, std::vector<std::string>{"/a"});
    }
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    EXPECT_EQ(harness.list().error().code, Errc::unavailable);
    EXPECT_TRUE(*harness.run(harness.set().enable(0, "/b")));
    EXPECT_FALSE(*harness.run(harness.set().enable(0, "/b")));
    expect_all(harness, 20);
    // What is given up is lost; the rest is there.
    ASSERT_TRUE(harness.run(harness.set().detach(0, "/b", true)));
    for (int number = 0; number < 20; ++number) {
        const auto got = harness.get(key(number));
        if (got) EXPECT_EQ(*got, content(number));
        if (!got) EXPECT_EQ(got.error().code, Errc::not_found);
    }
    harness.plug(b_);
    EXPECT_EQ(harness.run(harness.set().detach(0, "/a", true)).error().code,
              Errc::condition_failed);
}

TEST_F(MountpathSetTest, AFailingDeviceIsOutAndComesBack) {
    io::FaultPlan plan;
    SetHarness harness(loop_);
    harness.set_faults(plan);
    harness.options().probe_interval_ns = 2'000'000;
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    fill(harness, 20);
    io::Fault fault;
    fault.kind = io::DiskCallKind::write;
    fault.path_part = "probe";
    fault.is_sticky = true;
    plan.reset();
    plan.add(fault);
    const auto state = [&] {
        int out = 0;
        for (const MountpathFigures& figures : harness.run(harness.set().figures(0))) {
            if (!figures.out.empty()) ++out;
        }
        return out;
    };
    const auto wait_for = [&](int count) {
        for (int turn = 0; turn < 2000 && state() != count; ++turn) {
            io::Reactor& reactor = *loop_.reactor;
            harness.run([](io::Reactor& at) -> io::Task<bool> {
                co_return co_await at.sleep(at.within_ns(1'000'000)) == 0;
            }(reactor));
        }
        EXPECT_EQ(state(), count);
    };
    wait_for(2);
    EXPECT_EQ(harness.get(key(1)).error().code, Errc::unavailable);
    plan.reset();
    wait_for(0);
    expect_all(harness, 20);
}

// The power goes at any moment of an attach, or of a detach, on all drives at once.
class MountpathCutTest : public MountpathSetTest {
protected:
    struct Machine {
        Drive a{"/a"};
        Drive b{"/b"};
    };
    using Change = std::function<Status(SetHarness&)>;

    void prepare(Machine& machine, bool is_set) {
        SetHarness harness(loop_);
        ASSERT_TRUE(is_set ? harness.begin({&machine.a, &machine.b}) : harness.begin({&machine.a}));
        fill(harness, objects);
    }
    // Whatever was cut off, everything is there at the next start, each name once, and the change
    // can be made again.
    void check(Machine& machine, const Change& change, const char* when) {
        SetHarness harness(loop_);
        harness.plug(machine.b);
        Status opened = harness.begin({&machine.a, &machine.b});
        if (!opened) {
            // It was detached in order: it is a part of the node no longer.
            SCOPED_TRACE(opened.error().context);
            SetHarness one(loop_);
            one.plug(machine.b);
            ASSERT_TRUE(one.begin({&machine.a})) << when;
            expect_all(one, objects);
            return;
        }
        expect_all(harness, objects);
        (void)harness.run(harness.set().settle(0));
        expect_all(harness, objects);
        (void)change(harness);
        expect_all(harness, objects);
    }
    void cut_everywhere(bool is_set, const Change& change) {
        for (uint64_t at = 0; at < 4000; ++at) {
            SCOPED_TRACE(at);
            Machine machine;
            prepare(machine, is_set);
            uint64_t calls = 0;
            Machine left;
            Random random(at + 1);
            bool is_cut = false;
            const auto count = [&](const io::DiskCall&) {
                if (calls++ != at || is_cut) return;
                is_cut = true;
                left.a.storage = machine.a.storage.crash(random);
                left.b.storage = machine.b.storage.crash(random);
            };
            {
                SetHarness harness(loop_);
                harness.plug(machine.b);
                ASSERT_TRUE(is_set ? harness.begin({&machine.a, &machine.b})
                                   : harness.begin({&machine.a}));
                machine.a.storage.on_call(count);
                machine.b.storage.on_call(count);
                const Status changed = change(harness);
                ASSERT_TRUE(changed) << changed.error().context;
                machine.a.storage.on_call(nullptr);
                machine.b.storage.on_call(nullptr);
            }
            if (!is_cut) {
                EXPECT_GT(at, calls_min);
                return;
            }
            check(left, change, "after a power cut");
            if (HasFailure()) return;
        }
        FAIL() << "the change has no end";
    }
    void fail_everywhere(bool is_set, const Change& change) {
        for (uint64_t at = 0; at < 4000; ++at) {
            SCOPED_TRACE(at);
            Machine machine;
            prepare(machine, is_set);
            io::FaultPlan plan;
            {
                SetHarness harness(loop_);
                harness.set_faults(plan);
                harness.plug(machine.b);
                ASSERT_TRUE(is_set ? harness.begin({&machine.a, &machine.b})
                                   : harness.begin({&machine.a}));
                plan.reset();
                plan.add({.error_number = EIO, .at = at});
                (void)change(harness);
                if (plan.met_count() == 0) {
                    EXPECT_GT(at, calls_min);
                    return;
                }
                plan.reset();
                expect_all(harness, objects);
            }
            check(machine, change, "after a restart");
            if (HasFailure()) return;
        }
        FAIL() << "the change has no end";
    }

    static constexpr int objects = 12;
    static constexpr uint64_t calls_min = 40;  // that such a change makes
};

Status attach_b(SetHarness& harness) {
    TRY_STATUS(harness.run(harness.set().attach(0, "/b")));
    return harness.run(harness.set().settle(0));
}

Status detach_b(SetHarness& harness) {
    return harness.run(harness.set().detach(0, "/b", false));
}

TEST_F(MountpathCutTest, PowerIsCutWhileOneComes) {
    cut_everywhere(false, attach_b);
}

TEST_F(MountpathCutTest, PowerIsCutWhileOneGoes) {
    cut_everywhere(true, detach_b);
}

TEST_F(MountpathCutTest, EachCallFailsWhileOneComes) {
    fail_everywhere(false, attach_b);
}

TEST_F(MountpathCutTest, EachCallFailsWhileOneGoes) {
    fail_everywhere(true, detach_b);
}

}  // namespace
}  // namespace penstock::node
