// What tests of striped objects share: puts that are cut, parts that are counted, and changes that
// are tried with each call of a disk failing, and with the power going at each.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "node/store/attributes.h"
#include "tests/node/store/set_harness.h"

namespace penstock::node {

constexpr size_t unit = stripe_unit_bytes;

class StripeTest : public ::testing::Test {
public:
    static PutOptions striped() {
        PutOptions options;
        options.stripes = {.above_bytes = 300'000, .part_bytes = stripe_part_bytes_min};
        options.checksum = ChecksumType::crc32c;
        return options;
    }

protected:
    static Result<ObjectAttributes> put(SetHarness& harness, std::string_view name,
                                        const std::string& content) {
        return harness.put(name, content, striped());
    }
    static void pause(SetHarness& harness) {
        harness.run([](io::Reactor& at) -> io::Task<bool> {
            co_return co_await at.sleep(at.within_ns(1'000'000)) == 0;
        }(*harness.loop().reactor));
    }
    // What was replaced goes in the background.
    static void expect_parts(SetHarness& harness, uint64_t count) {
        for (int turn = 0; turn < 2000 && parts(harness) != count; ++turn) pause(harness);
        EXPECT_EQ(parts(harness), count);
    }
    static uint64_t parts(SetHarness& harness) { return harness.set().usage().hidden_objects; }
    static uint64_t parts_at(SetHarness& harness, const std::string& path) {
        for (const MountpathFigures& figures : harness.run(harness.set().figures(0))) {
            if (figures.path == path) return figures.usage.hidden_objects;
        }
        return 0;
    }

    TestLoop loop_;
    Drive a_{"/a"};
    Drive b_{"/b"};
    Drive c_{"/c"};
};

// Each call fails in turn, and the power goes at each.
class StripeCutTest : public StripeTest {
protected:
    struct Machine {
        Drive a{"/a"};
        Drive b{"/b"};
        Drive c{"/c"};
        std::vector<Drive*> all() { return {&a, &b, &c}; }
    };
    using Change = std::function<Status(SetHarness&)>;

    // What "x" is before the change.
    virtual void prepare_x(SetHarness& harness) {
        ASSERT_TRUE(put(harness, "x", content_of(2, 5 * unit)));
    }
    void prepare(SetHarness& harness) {
        ASSERT_TRUE(put(harness, "kept", content_of(1, 4 * unit)));
        prepare_x(harness);
    }
    // How many parts "x" has, hidden objects of open uploads included.
    virtual uint64_t parts_of_x(SetHarness& harness, const std::optional<std::string>& content) {
        if (!content) return 0;
        return harness.run(harness.set().stat(0, SetHarness::name("x")))->part_count;
    }
    // Before an upload that was left open by a power cut is ended, if there is one; true: "x" is
    // what that made of it.
    virtual bool end_uploads(SetHarness&, uint64_t) { return false; }
    // Whole, as it was before or as it is after; and no part is nobody's.
    void check(SetHarness& harness, const std::optional<std::string>& after, bool is_certain,
               const char* when, uint64_t at = 0) {
        SCOPED_TRACE(when);
        const auto kept = harness.get("kept");
        ASSERT_TRUE(kept) << kept.error().context;
        ASSERT_TRUE(*kept == content_of(1, 4 * unit));
        const bool is_another = end_uploads(harness, at);
        const auto x = harness.get("x");
        const bool is_gone = !x && x.error().code == Errc::not_found;
        ASSERT_TRUE(x || is_gone) << x.error().context;
        const bool is_after = after ? x && *x == *after : is_gone;
        const bool is_before = x && *x == content_of(2, 5 * unit);
        ASSERT_TRUE(is_another || is_after || (is_before && !is_certain));
        std::optional<std::string> content;
        if (x) content = *x;
        expect_parts(harness, 2 + parts_of_x(harness, content));
    }
    void cut_everywhere(const Change& change, const std::optional<std::string>& after,
                        uint64_t calls_min) {
        for (uint64_t at = 0; at < 4000; ++at) {
            SCOPED_TRACE(at);
            Machine machine;
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
                ASSERT_TRUE(harness.begin({&machine.a, &machine.b}));
                prepare(harness);
                machine.a.storage.on_call(count);
                machine.b.storage.on_call(count);
                const Status changed = change(harness);
                ASSERT_TRUE(changed) << changed.error().context;
                check(harness, after, true, "at once");
                machine.a.storage.on_call(nullptr);
                machine.b.storage.on_call(nullptr);
            }
            if (!is_cut) {
                EXPECT_GT(at, calls_min);
                return;
            }
            SetHarness harness(loop_);
            const Status begun = harness.begin({&left.a, &left.b});
            ASSERT_TRUE(begun) << begun.error().context;
            check(harness, after, false, "after a power cut", at);
            if (HasFailure()) return;
        }
        FAIL() << "the change has no end";
    }
    void fail_everywhere(const Change& change, const std::optional<std::string>& after,
                         uint64_t calls_min) {
        for (uint64_t at = 0; at < 4000; ++at) {
            SCOPED_TRACE(at);
            Machine machine;
            io::FaultPlan plan;
            Status changed;
            {
                SetHarness harness(loop_);
                harness.set_faults(plan);
                ASSERT_TRUE(harness.begin({&machine.a, &machine.b}));
                prepare(harness);
                plan.reset();
                plan.add({.error_number = EIO, .at = at});
                changed = change(harness);
                for (int turn = 0; turn < 5; ++turn) pause(harness);
                if (plan.met_count() == 0) {
                    EXPECT_GT(at, calls_min);
                    return;
                }
                plan.reset();
                const auto kept = harness.get("kept");
                ASSERT_TRUE(kept && *kept == content_of(1, 4 * unit));
                const auto x = harness.get("x");
                ASSERT_TRUE(x || x.error().code == Errc::not_found) << x.error().context;
                const bool is_after = after ? x && *x == *after : !x;
                ASSERT_TRUE(is_after || (!changed && x && *x == content_of(2, 5 * unit)));
            }
            SetHarness harness(loop_);
            ASSERT_TRUE(harness.begin({&machine.a, &machine.b}));
            check(harness, after, changed.has_value(), "after a restart", at);
            if (HasFailure()) return;
        }
        FAIL() << "the change has no end";
    }
};

// One comes or goes while the power does, or a call fails: parts and records are on their way.
class StripeMoveTest : public StripeCutTest {
protected:
    static Status attach_b(SetHarness& harness) {
        TRY_STATUS(harness.run(harness.set().attach(0, "/b")));
        return harness.run(harness.set().settle(0));
    }
    static Status detach_b(SetHarness& harness) {
        return harness.run(harness.set().detach(0, "/b", false));
    }
    static void check_both(SetHarness& harness, const char* when) {
        SCOPED_TRACE(when);
        const std::pair<const char*, std::string> both[] = {{"kept", content_of(1, 4 * unit)},
                                                            {"x", content_of(2, 5 * unit)}};
        for (const auto& [name, content] : both) {
            const auto got = harness.get(name);
            ASSERT_TRUE(got) << name << ": " << got.error().context;
            ASSERT_TRUE(*got == content) << name;
        }
    }
    void begin_before(SetHarness& harness, Machine& machine, bool is_coming) {
        harness.plug(machine.b);
        if (is_coming) {
            ASSERT_TRUE(harness.begin({&machine.a, &machine.c}));
        } else {
            ASSERT_TRUE(harness.begin({&machine.a, &machine.b, &machine.c}));
        }
    }
    void check_after(Machine& machine, const Change& change, const char* when) {
        SetHarness harness(loop_);
        harness.plug(machine.b);
        if (!harness.begin({&machine.a, &machine.b, &machine.c})) {
            ASSERT_TRUE(harness.begin({&machine.a, &machine.c})) << when;
        }
        check_both(harness, when);
        (void)harness.run(harness.set().settle(0));
        check_both(harness, when);
        expect_parts(harness, parts_before_);
        (void)change(harness);
        check_both(harness, when);
        expect_parts(harness, parts_before_);
    }
    void try_everywhere(bool is_coming, bool is_cut_off, const Change& change) {
        for (uint64_t at = 0; at < 4000; ++at) {
            SCOPED_TRACE(at);
            Machine machine;
            Machine left;
            {
                SetHarness harness(loop_);
                begin_before(harness, machine, is_coming);
                prepare(harness);
                parts_before_ = parts(harness);
            }
            bool is_met = false;
            io::FaultPlan plan;
            uint64_t calls = 0;
            Random random(at + 1);
            const auto count = [&](const io::DiskCall&) {
                if (calls++ != at || is_met) return;
                is_met = true;
                left.a.storage = machine.a.storage.crash(random);
                left.b.storage = machine.b.storage.crash(random);
                left.c.storage = machine.c.storage.crash(random);
            };
            {
                SetHarness harness(loop_);
                if (!is_cut_off) harness.set_faults(plan);
                begin_before(harness, machine, is_coming);
                expect_parts(harness, parts_before_);
                if (is_cut_off) {
                    for (Drive* drive : machine.all()) drive->storage.on_call(count);
                } else {
                    plan.reset();
                    plan.add({.error_number = EIO, .at = at});
                }
                const Status changed = change(harness);
                if (is_cut_off) ASSERT_TRUE(changed) << changed.error().context;
                for (Drive* drive : machine.all()) drive->storage.on_call(nullptr);
                if (!is_cut_off) is_met = plan.met_count() > 0;
                plan.reset();
                check_both(harness, "at once");
            }
            if (!is_met) {
                EXPECT_GT(at, 40U);
                return;
            }
            check_after(is_cut_off ? left : machine, change, "after a restart");
            if (HasFailure()) return;
        }
        FAIL() << "the change has no end";
    }

    uint64_t parts_before_ = 0;
};

}  // namespace penstock::node
