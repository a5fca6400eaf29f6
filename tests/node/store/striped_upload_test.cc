// Uploads whose bucket asks for stripes: each part is cut as it comes in, completion moves nothing,
// and what becomes of the stripes whatever happens to the upload, to its object, to a mountpath, to
// a call of a disk or to the power.
#include <gtest/gtest.h>

#include <map>

#include "node/store/open_upload.h"
#include "node/store/record.h"
#include "tests/node/store/stripe_fixture.h"

namespace penstock::node {
namespace {

constexpr StripeRule rule{.above_bytes = 300'000, .part_bytes = stripe_part_bytes_min};

Result<std::string> begin_upload(SetHarness& harness, std::string_view object,
                                 StripeRule stripes = rule) {
    return harness.run(
        harness.set().begin_upload(0, SetHarness::name(object), {{"k", "v"}}, stripes));
}
Result<PartAttributes> put_part(SetHarness& harness, std::string_view object,
                                const std::string& upload, uint32_t number,
                                const std::string& content, PartOptions options = {}) {
    return harness.run(harness.set().put_part(0, SetHarness::name(object), upload, number,
                                              harness.body(content), std::move(options)));
}
Result<ObjectAttributes> complete(SetHarness& harness, std::string_view object,
                                  const std::string& upload,
                                  std::optional<std::vector<uint32_t>> parts = std::nullopt) {
    CompletionOptions options;
    options.parts = std::move(parts);
    return harness.run(harness.set().complete_upload(0, SetHarness::name(object), upload, options));
}
Status abort(SetHarness& harness, std::string_view object, const std::string& upload) {
    return harness.run(harness.set().abort_upload(0, SetHarness::name(object), upload));
}

// How many parts so many bytes are cut into, where so many mountpaths are in service.
uint64_t stripe_count(size_t bytes, size_t mountpaths) {
    return std::min((bytes + unit - 1) / unit, mountpaths);
}

Result<ObjectAttributes> upload(SetHarness& harness, std::string_view object,
                                const std::vector<std::string>& parts) {
    TRY(const std::string id, begin_upload(harness, object));
    for (size_t index = 0; index < parts.size(); ++index) {
        const auto number = static_cast<uint32_t>(index + 1);
        TRY_STATUS(put_part(harness, object, id, number, parts[index]));
    }
    return complete(harness, object, id);
}

std::string joined(const std::vector<std::string>& parts) {
    std::string all;
    for (const std::string& part : parts) all += part;
    return all;
}

TEST(StripeLayoutsTest, ARecordListsThoseOfTenThousandParts) {
    Attributes attributes;
    attributes.custom = {{"k", std::string((64 << 10) - 9, 'v')}};
    StripeLayouts layouts;
    for (uint32_t part = 0; part < parts_max; ++part) {
        StripeLayout layout{{part, 2}, 100 * unit, upload_stripe_bytes, unit, stripe_width_max, {}};
        layout.numbers.resize(layout.part_count(layout.size_bytes), 7);
        layouts.push_back(layout);
    }
    attributes.stripes = std::make_shared<const StripeLayouts>(layouts);
    const std::vector<std::byte> encoded = encode_attributes(attributes);
    EXPECT_LE(encoded.size(), payload_bytes_max);
    const auto read = parse_attributes(encoded);
    ASSERT_TRUE(read && read->stripes);
    EXPECT_EQ(*read->stripes, layouts);
}

TEST(StripeLayoutsTest, WhatIsNotAsManyAsAnnouncedIsNotRead) {
    StripeLayout layout{{1, 2}, unit, upload_stripe_bytes, unit, 2, {3}};
    Attributes attributes;
    attributes.stripes = std::make_shared<const StripeLayouts>(3, layout);
    const std::vector<std::byte> encoded = encode_attributes(attributes);
    ASSERT_TRUE(parse_attributes(encoded));
    const size_t head = 12;
    const size_t each = 8 + 40 + 4;
    ASSERT_EQ(encoded.size(), head + 3 * each);
    const auto refuses = [](std::vector<std::byte> bytes) {
        EXPECT_FALSE(parse_attributes(bytes));
    };
    refuses({encoded.begin(), encoded.end() - each});
    refuses({encoded.begin() + head, encoded.end()});
    refuses({encoded.begin(), encoded.begin() + head});
    std::vector<std::byte> twice(encoded.begin(), encoded.begin() + head);
    twice.insert(twice.end(), encoded.begin(), encoded.end());
    refuses(twice);
    layout.size_bytes = striped_bytes_max;
    layout.part_bytes = uint64_t{1} << 50;
    layout.numbers.resize(layout.part_count(layout.size_bytes));
    attributes.stripes = std::make_shared<const StripeLayouts>(2, layout);
    refuses(encode_attributes(attributes));
}

class StripedUploadTest : public StripeTest {};

TEST_F(StripedUploadTest, LiesOnAllMountpathsAndIsReadWhole) {
    std::vector<std::string> parts;
    for (const size_t size : {2 * unit + 1, size_t{1}, unit, 37 * unit + 5, size_t{100}, 7 * unit,
                              34 * unit, unit - 1, 9 * unit + 77}) {
        parts.push_back(content_of(size, size));
    }
    const std::string content = joined(parts);
    uint64_t count = 0;
    for (const std::string& part : parts) count += stripe_count(part.size(), 3);
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
        const auto stored = upload(harness, "x", parts);
        ASSERT_TRUE(stored) << stored.error().context;
        EXPECT_EQ(stored->size_bytes, content.size());
        EXPECT_EQ(stored->part_count, parts.size());
        EXPECT_EQ(stored->part_bytes_max, 37 * unit + 5);
        expect_parts(harness, count);
        for (const char* path : {"/a", "/b", "/c"}) EXPECT_GE(parts_at(harness, path), 5U);
        EXPECT_EQ(*harness.list(), std::vector<std::string>{"x"});
        EXPECT_TRUE(*harness.get("x") == content);
    }
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&c_, &b_, &a_}));
    const auto got = harness.get("x");
    ASSERT_TRUE(got) << got.error().context;
    ASSERT_TRUE(*got == content);
    Random random(3);
    for (int round = 0; round < 200; ++round) {
        const size_t offset = random.next() % (content.size() + 10);
        const size_t length = round % 2 == 0 ? random.next() % 5000 : random.next() % (40 * unit);
        const auto range = harness.get("x", {offset, length});
        ASSERT_TRUE(range) << range.error().context;
        ASSERT_TRUE(*range == (offset < content.size() ? content.substr(offset, length) : ""))
            << offset << " " << length;
    }
    // The last byte of each part and the first one of the next.
    size_t at = 0;
    for (size_t index = 0; index + 1 < parts.size(); ++index) {
        at += parts[index].size();
        EXPECT_EQ(*harness.get("x", {at - 1, 2}), content.substr(at - 1, 2));
        EXPECT_EQ(*harness.get("x", {at, 1}), content.substr(at, 1));
    }
    EXPECT_GE(*harness.run(harness.set().verify(0, SetHarness::name("x"))), content.size());
    const auto stat = harness.run(harness.set().stat(0, SetHarness::name("x")));
    ASSERT_TRUE(stat);
    EXPECT_EQ(crc_from(stat->checksum), crc32c(as_bytes(content)));
    EXPECT_EQ(stat->part_count, parts.size());
    EXPECT_EQ(stat->custom, (CustomMetadata{{"k", "v"}}));
    EXPECT_EQ(harness.set().usage().object_bytes, content.size());
    expect_parts(harness, count);
    ASSERT_TRUE(harness.remove("x"));
    expect_parts(harness, 0);
    EXPECT_EQ(harness.set().usage().object_bytes, 0U);
}

TEST_F(StripedUploadTest, WhatIsNotChosenOrReplacedOrRefusedGoes) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    const auto id = begin_upload(harness, "x");
    ASSERT_TRUE(id);
    ASSERT_TRUE(put_part(harness, "x", *id, 2, content_of(2, 5 * unit)));
    expect_parts(harness, 1 + 1 + 2);
    const auto again = put_part(harness, "x", *id, 2, content_of(3, 3 * unit), {.wants_md5 = true});
    ASSERT_TRUE(again);
    EXPECT_EQ(again->md5.size(), 32U);
    EXPECT_EQ(again->crc32c, crc32c(as_bytes(content_of(3, 3 * unit))));
    expect_parts(harness, 1 + 1 + 2);
    ASSERT_TRUE(put_part(harness, "x", *id, 1, "tiny"));
    expect_parts(harness, 1 + 2 + 3);
    EXPECT_EQ(put_part(harness, "x", *id, 3, "").error().code, Errc::invalid);
    const ContentChecksum wrong{ChecksumType::md5, 16, {}};
    EXPECT_EQ(
        put_part(harness, "x", *id, 3, content_of(4, 3 * unit), {.expected = wrong}).error().code,
        Errc::invalid);
    const std::string broken = content_of(5, 9 * unit);
    io::Body body(
        std::make_unique<PiecewiseSource>(loop_.buffers, broken, false, 70'000, 5 * unit));
    EXPECT_FALSE(
        harness.run(harness.set().put_part(0, SetHarness::name("x"), *id, 3, std::move(body), {})));
    expect_parts(harness, 1 + 2 + 3);
    ASSERT_TRUE(put_part(harness, "x", *id, 4, content_of(6, 2 * unit)));
    ASSERT_TRUE(put_part(harness, "x", *id, 5, content_of(7, 2 * unit)));
    ASSERT_TRUE(complete(harness, "x", *id, std::vector<uint32_t>{1, 2, 5}));
    EXPECT_TRUE(*harness.get("x") == "tiny" + content_of(3, 3 * unit) + content_of(7, 2 * unit));
    expect_parts(harness, 1 + 2 + 2);
    // What another upload, a put or a removal replaces goes; what is aborted, too.
    ASSERT_TRUE(upload(harness, "x", {"a", content_of(8, 4 * unit)}));
    expect_parts(harness, 1 + 2);
    ASSERT_TRUE(put(harness, "x", content_of(9, 5 * unit)));
    expect_parts(harness, 2);
    ASSERT_TRUE(upload(harness, "x", {content_of(1, 4 * unit)}));
    EXPECT_TRUE(*harness.get("x") == content_of(1, 4 * unit));
    const auto handle =
        harness.run(harness.set().append(0, SetHarness::name("x"), "", harness.body("tail")));
    ASSERT_TRUE(handle) << handle.error().context;
    ASSERT_TRUE(harness.run(harness.set().flush(0, SetHarness::name("x"), *handle, true)));
    EXPECT_TRUE(*harness.get("x") == content_of(1, 4 * unit) + "tail");
    expect_parts(harness, 0);
    const auto dropped = begin_upload(harness, "x");
    ASSERT_TRUE(put_part(harness, "x", *dropped, 1, content_of(1, 4 * unit)));
    ASSERT_TRUE(put_part(harness, "x", *dropped, 2, content_of(2, 4 * unit)));
    ASSERT_TRUE(abort(harness, "x", *dropped));
    expect_parts(harness, 0);
    ASSERT_TRUE(begin_upload(harness, "y"));
    ASSERT_TRUE(upload(harness, "x", {content_of(1, 4 * unit), content_of(2, unit)}));
    harness.set().forget_bucket({1});
    expect_parts(harness, 0);
}

TEST_F(StripedUploadTest, WhoReadsKeepsWhatIsReplaced) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    std::vector<std::string> content;
    for (uint64_t part = 0; part < 20; ++part) content.push_back(content_of(part, 5 * unit));
    ASSERT_TRUE(upload(harness, "x", content));
    expect_parts(harness, 40);
    auto opened = harness.run(harness.set().get(0, SetHarness::name("x"), {}));
    ASSERT_TRUE(opened);
    ASSERT_TRUE(harness.put("x", "new"));
    for (int turn = 0; turn < 100; ++turn) pause(harness);
    EXPECT_EQ(parts(harness), 39U);
    const auto read = harness.read(std::move(opened->body));
    ASSERT_TRUE(read) << read.error().context;
    EXPECT_TRUE(*read == joined(content));
    expect_parts(harness, 0);
}

TEST_F(StripedUploadTest, TheRuleCountsWhenItBegins) {
    const std::string content = content_of(1, 5 * unit);
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_}));
        const auto plain = begin_upload(harness, "plain", {});
        ASSERT_TRUE(put_part(harness, "plain", *plain, 1, content));
        expect_parts(harness, 2);
        ASSERT_TRUE(complete(harness, "plain", *plain));
        expect_parts(harness, 0);
        EXPECT_EQ(harness.run(harness.set().stat(0, SetHarness::name("plain")))->part_count, 1U);
        const auto id = begin_upload(harness, "x");
        ASSERT_TRUE(put_part(harness, "x", *id, 1, content));
    }
    // Read again from its records.
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    const auto open = harness.run(harness.set().uploads(0, {1}));
    ASSERT_TRUE(open && open->size() == 1);
    EXPECT_EQ(open->front().object, "x");
    ASSERT_TRUE(put_part(harness, "x", open->front().id, 2, content));
    expect_parts(harness, 1 + 2 + 4);
    // A cleaning meanwhile takes nothing away.
    ASSERT_TRUE(*harness.run(harness.set().disable(0, "/b")));
    ASSERT_TRUE(*harness.run(harness.set().enable(0, "/b")));
    for (int turn = 0; turn < 50; ++turn) pause(harness);
    EXPECT_EQ(parts(harness), 7U);
    const auto completed = complete(harness, "x", open->front().id);
    ASSERT_TRUE(completed) << completed.error().context;
    EXPECT_TRUE(*harness.get("x") == content + content);
    expect_parts(harness, 4);
    ASSERT_TRUE(*harness.run(harness.set().disable(0, "/b")));
    ASSERT_TRUE(*harness.run(harness.set().enable(0, "/b")));
    for (int turn = 0; turn < 50; ++turn) pause(harness);
    EXPECT_TRUE(*harness.get("x") == content + content);
}

TEST_F(StripedUploadTest, UploadsMeetMountpathsThatComeAndGo) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    const std::vector<std::string> content = {content_of(1, 5 * unit), "x",
                                              content_of(2, 3 * unit)};
    std::map<std::string, std::string> ids;
    for (int number = 0; number < 10; ++number) {
        const std::string name = "o" + std::to_string(number);
        ASSERT_TRUE(upload(harness, "done" + name, content));
        ids[name] = *begin_upload(harness, name);
        ASSERT_TRUE(put_part(harness, name, ids[name], 1, content[0]));
    }
    const auto go_on = [&](const char* when) {
        SCOPED_TRACE(when);
        for (const auto& [name, id] : ids) {
            const auto got = harness.get("done" + name);
            ASSERT_TRUE(got) << got.error().context;
            ASSERT_TRUE(*got == joined(content));
        }
        for (auto& [name, id] : ids) {
            const auto parts = harness.run(harness.set().parts(0, SetHarness::name(name), id));
            // Uploads of names that have moved have ended.
            if (!parts) {
                ASSERT_EQ(parts.error().code, Errc::not_found);
                id = *begin_upload(harness, name);
                ASSERT_TRUE(put_part(harness, name, id, 1, content[0]));
            }
            ASSERT_TRUE(put_part(harness, name, id, 2, content[1]));
        }
    };
    harness.plug(c_);
    ASSERT_TRUE(harness.run(harness.set().attach(0, "/c")));
    ASSERT_TRUE(harness.run(harness.set().settle(0)));
    go_on("after one came");
    ASSERT_TRUE(harness.run(harness.set().detach(0, "/a", false)));
    go_on("after one left");
    ASSERT_TRUE(harness.run(harness.set().detach(0, "/b", false)));
    go_on("after another left");
    for (const auto& [name, id] : ids) {
        // With one mountpath a part has one stripe, if the upload began with more.
        ASSERT_TRUE(put_part(harness, name, id, 3, content[2]));
        ASSERT_TRUE(complete(harness, name, id));
        ASSERT_TRUE(*harness.get(name) == joined(content));
    }
    harness.stop();
    ASSERT_TRUE(harness.begin({&c_}));
    for (const auto& [name, id] : ids) {
        ASSERT_TRUE(*harness.get(name) == joined(content));
        ASSERT_TRUE(*harness.get("done" + name) == joined(content));
        ASSERT_TRUE(harness.remove(name));
        ASSERT_TRUE(harness.remove("done" + name));
    }
    expect_parts(harness, 0);
}

// -------------------------------------------------------------------------------------------------
// Each call fails in turn, and the power goes at each

template <typename Base>
class Uploaded : public Base {
protected:
    static std::string one() { return content_of(4, 2 * unit + 7); }
    static std::string old_one() { return content_of(5, unit + 100); }
    static std::string two() { return content_of(6, 3 * unit + 5); }
    static std::string left_out() { return content_of(7, 100); }
    static size_t mountpaths(SetHarness& harness) {
        return harness.run(harness.set().figures(0)).size();
    }

    void prepare_x(SetHarness& harness) override {
        const std::string before = content_of(2, 5 * unit);
        const auto stored =
            upload(harness, "x", {before.substr(0, 2 * unit), before.substr(2 * unit)});
        ASSERT_TRUE(stored) << stored.error().context;
        const size_t width = mountpaths(harness);
        const uint64_t kept = stripe_count(4 * unit, width);
        this->expect_parts(harness, kept + 2 + stripe_count(3 * unit, width));
    }
    uint64_t parts_of_x(SetHarness&, const std::optional<std::string>& content) override {
        if (!content) return 0;
        if (*content == content_of(2, 5 * unit)) return 2 + 2;
        uint64_t count = 0;
        for (const std::string& part : {old_one(), one(), two(), left_out()}) {
            if (content->contains(part)) count += stripe_count(part.size(), 2);
        }
        return count;
    }
    // An upload that a power cut left open is aborted, or completed with what it has.
    bool end_uploads(SetHarness& harness, uint64_t at) override {
        const auto open = harness.run(harness.set().uploads(0, {1}));
        EXPECT_TRUE(open);
        for (const UploadAttributes& each : *open) {
            const auto parts = harness.run(harness.set().parts(0, SetHarness::name("x"), each.id));
            EXPECT_TRUE(parts) << parts.error().context;
            if (parts->empty() || at % 2 == 0) {
                const Status aborted = abort(harness, "x", each.id);
                EXPECT_TRUE(aborted) << aborted.error().context;
                continue;
            }
            std::string expected;
            for (const PartAttributes& part : *parts) {
                for (const std::string& known : {old_one(), one(), two(), left_out()}) {
                    if (known.size() == part.size_bytes) expected += known;
                }
            }
            const auto completed = complete(harness, "x", each.id);
            EXPECT_TRUE(completed) << completed.error().context;
            const auto got = harness.get("x");
            EXPECT_TRUE(got) << got.error().context;
            EXPECT_TRUE(got && *got == expected);
            return true;
        }
        return false;
    }
};

class StripedUploadCutTest : public Uploaded<StripeCutTest> {
protected:
    static Status replace_by_upload(SetHarness& harness) {
        TRY(const std::string id, begin_upload(harness, "x"));
        TRY_STATUS(put_part(harness, "x", id, 2, two()));
        TRY_STATUS(put_part(harness, "x", id, 1, old_one()));
        TRY_STATUS(put_part(harness, "x", id, 1, one()));
        TRY_STATUS(put_part(harness, "x", id, 3, left_out()));
        TRY_STATUS(complete(harness, "x", id, std::vector<uint32_t>{1, 2}));
        return {};
    }
    static Status begin_and_abort(SetHarness& harness) {
        TRY(const std::string id, begin_upload(harness, "x"));
        TRY_STATUS(put_part(harness, "x", id, 2, two()));
        TRY_STATUS(put_part(harness, "x", id, 1, one()));
        return abort(harness, "x", id);
    }
    static std::string replaced() { return one() + two(); }
    static std::string before() { return content_of(2, 5 * unit); }
};

TEST_F(StripedUploadCutTest, PowerIsCutWhileAnUploadReplacesAnother) {
    cut_everywhere(replace_by_upload, replaced(), 60);
}

TEST_F(StripedUploadCutTest, EachCallFailsWhileAnUploadReplacesAnother) {
    fail_everywhere(replace_by_upload, replaced(), 60);
}

TEST_F(StripedUploadCutTest, PowerIsCutWhileAnUploadIsAborted) {
    cut_everywhere(begin_and_abort, before(), 40);
}

TEST_F(StripedUploadCutTest, EachCallFailsWhileAnUploadIsAborted) {
    fail_everywhere(begin_and_abort, before(), 40);
}

TEST_F(StripedUploadCutTest, PowerIsCutWhileAnUploadedObjectIsRemoved) {
    cut_everywhere([](SetHarness& harness) { return harness.remove("x"); }, std::nullopt, 6);
}

// The device fails for good while the completion's record is on its way, so that it may be in the
// log all the same; then the upload is aborted and what is nobody's is cleaned away.
TEST_F(StripedUploadCutTest, WhatACompletionLeftInDoubtStays) {
    int left_in_doubt = 0;
    for (uint64_t at = 0; at < 16; ++at) {
        SCOPED_TRACE(at);
        Machine machine;
        io::FaultPlan plan;
        bool is_completed = false;
        {
            SetHarness harness(loop_);
            harness.set_faults(plan);
            ASSERT_TRUE(harness.begin({&machine.a, &machine.b}));
            prepare(harness);
            const auto id = begin_upload(harness, "x");
            ASSERT_TRUE(put_part(harness, "x", *id, 1, one()));
            ASSERT_TRUE(put_part(harness, "x", *id, 2, two()));
            plan.reset();
            plan.add({.error_number = EIO, .at = at, .is_sticky = true});
            const auto completed = complete(harness, "x", *id);
            is_completed = completed.has_value();
            if (!is_completed) EXPECT_EQ(completed.error().code, Errc::io_error);
            plan.reset();
            if (!is_completed) {
                left_in_doubt += 1;
                (void)abort(harness, "x", *id);
                ASSERT_TRUE(*harness.run(harness.set().disable(0, "/b")));
                ASSERT_TRUE(*harness.run(harness.set().enable(0, "/b")));
                for (int turn = 0; turn < 30; ++turn) pause(harness);
            }
        }
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&machine.a, &machine.b}));
        check(harness, replaced(), is_completed, "after a restart", at);
        if (HasFailure()) return;
    }
    EXPECT_GT(left_in_doubt, 0);
}

class StripedUploadMoveTest : public Uploaded<StripeMoveTest> {};

TEST_F(StripedUploadMoveTest, PowerIsCutWhileAMountpathComes) {
    try_everywhere(true, true, attach_b);
}

TEST_F(StripedUploadMoveTest, PowerIsCutWhileAMountpathGoes) {
    try_everywhere(false, true, detach_b);
}

TEST_F(StripedUploadMoveTest, EachCallFailsWhileAMountpathGoes) {
    try_everywhere(false, false, detach_b);
}

}  // namespace
}  // namespace penstock::node
