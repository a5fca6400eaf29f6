// Striped objects: how an object is cut, and what becomes of its parts: whatever happens to the
// object, to a mountpath, to a call of a disk or to the power, an object is whole or an error, and
// no part outlives it.
#include "node/store/stripe.h"

#include <gtest/gtest.h>

#include "tests/node/store/stripe_fixture.h"

namespace penstock::node {
namespace {

TEST(StripeLayoutTest, EveryByteLiesInOnePart) {
    Random random(7);
    for (int round = 0; round < 2000; ++round) {
        StripeLayout layout;
        layout.unit_bytes = 1 + static_cast<uint32_t>(random.next() % 9);
        layout.width = 1 + static_cast<uint32_t>(random.next() % 5);
        layout.part_bytes = layout.unit_bytes * (1 + random.next() % 4);
        layout.size_bytes = 1 + random.next() % (5 * layout.group_bytes());
        layout.numbers.resize(layout.part_count(layout.size_bytes));
        ASSERT_TRUE(layout.is_possible());
        // The object, byte by byte, as the picture in stripe.h says.
        std::vector<uint64_t> filled(layout.numbers.size());
        for (uint64_t at = 0; at < layout.size_bytes; ++at) {
            const uint64_t group = at / layout.group_bytes();
            const uint64_t part =
                group * layout.width + at % layout.group_bytes() / layout.unit_bytes % layout.width;
            ASSERT_LT(part, filled.size());
            ASSERT_EQ(layout.bytes_before(static_cast<uint32_t>(part), at), filled[part]);
            filled[part] += 1;
        }
        for (uint32_t part = 0; part < filled.size(); ++part) {
            ASSERT_GT(filled[part], 0U);
            ASSERT_LE(filled[part], layout.part_bytes);
            ASSERT_EQ(layout.bytes_before(part, layout.size_bytes), filled[part]);
        }
    }
}

TEST(StripeLayoutTest, NamesOfPartsAreToldFromOthers) {
    const Digest128 id{0x1234, 0xfedcba9876543210};
    const std::string name = stripe_part_name(id, 77);
    EXPECT_EQ(name, "sfedcba98765432100000000000001234/0000004d");
    EXPECT_EQ(stripe_id_from(name), id);
    for (const char* other :
         {"", "s", "fedcba98765432100000000000001234/00007", "sfedcba98765432100000000000001234",
          "s/0000004d", "sfedcba9876543210000000000000123X/0000004d",
          "sfedcba98765432100000000000001234/0000004d0"}) {
        EXPECT_FALSE(stripe_id_from(other)) << other;
    }
}

TEST(StripeLayoutTest, WhatCannotBeIsNotRead) {
    Attributes attributes;
    StripeLayout layout{{1, 2}, 10 * unit, 2 * unit, unit, 3, {}};
    layout.numbers.resize(layout.part_count(layout.size_bytes));
    const auto reads = [&](const StripeLayout& tried) {
        attributes.stripes = std::make_shared<const StripeLayouts>(1, tried);
        return parse_attributes(encode_attributes(attributes));
    };
    const auto read = reads(layout);
    ASSERT_TRUE(read);
    EXPECT_EQ(*read->stripes, StripeLayouts{layout});
    const auto refuses = [&](auto change) {
        StripeLayout wrong = layout;
        change(wrong);
        EXPECT_FALSE(reads(wrong));
    };
    refuses([](StripeLayout& wrong) { wrong.width = 0; });
    refuses([](StripeLayout& wrong) { wrong.width = 1'000'000; });
    refuses([](StripeLayout& wrong) { wrong.unit_bytes = 0; });
    refuses([](StripeLayout& wrong) { wrong.part_bytes = 0; });
    refuses([](StripeLayout& wrong) { wrong.part_bytes = UINT64_MAX; });
    refuses([](StripeLayout& wrong) { wrong.part_bytes += 1; });
    refuses([](StripeLayout& wrong) { wrong.size_bytes = 0; });
    refuses([](StripeLayout& wrong) { wrong.size_bytes = UINT64_MAX; });
    refuses([](StripeLayout& wrong) { wrong.numbers.pop_back(); });
    refuses([](StripeLayout& wrong) { wrong.numbers.push_back(9); });
}

TEST_F(StripeTest, LiesOnAllMountpathsAndIsReadWhole) {
    const std::vector<size_t> sizes = {300'001,      2 * unit,      2 * unit + 1,
                                       3 * unit - 1, 3 * unit + 7,  9 * unit + 1000,
                                       12 * unit,    12 * unit + 1, 31 * unit + 5};
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
        for (const size_t size : sizes) {
            const std::string content = content_of(size, size);
            const auto stored = put(harness, "o" + std::to_string(size), content);
            ASSERT_TRUE(stored) << stored.error().context;
            EXPECT_EQ(stored->size_bytes, size);
            EXPECT_GT(stored->part_count, 1U);
            EXPECT_LE(stored->part_bytes_max, stripe_part_bytes_min);
        }
        EXPECT_EQ(harness.set().usage().objects, sizes.size());
        for (const char* path : {"/a", "/b", "/c"}) EXPECT_GE(parts_at(harness, path), 8U);
        EXPECT_EQ(harness.list()->size(), sizes.size());
        // One that is too small for it, and one put without being asked for.
        const auto small = put(harness, "small", content_of(1, 300'000));
        ASSERT_TRUE(small);
        EXPECT_EQ(small->part_count, 0U);
        EXPECT_EQ(harness.put("plain", content_of(2, 5 * unit))->part_count, 0U);
    }
    SetHarness again(loop_);
    ASSERT_TRUE(again.begin({&b_, &c_, &a_}));
    uint64_t bytes = 300'000 + 5 * unit;
    Random random(3);
    for (const size_t size : sizes) {
        bytes += size;
        const std::string name = "o" + std::to_string(size);
        const std::string content = content_of(size, size);
        const auto got = again.get(name);
        ASSERT_TRUE(got) << got.error().context;
        ASSERT_TRUE(*got == content) << size;
        for (int round = 0; round < 40; ++round) {
            const size_t offset = random.next() % (size + 10);
            const size_t length = round % 2 == 0 ? random.next() % 5000 : random.next() % size;
            const auto range = again.get(name, {offset, length});
            ASSERT_TRUE(range) << range.error().context;
            ASSERT_TRUE(*range == (offset < size ? content.substr(offset, length) : ""))
                << offset << " " << length;
        }
        EXPECT_TRUE(again.run(again.set().verify(0, SetHarness::name(name))));
        const auto stat = again.run(again.set().stat(0, SetHarness::name(name)));
        ASSERT_TRUE(stat);
        EXPECT_EQ(stat->checksum.bytes()[0],
                  static_cast<std::byte>(crc32c(as_bytes(content)) >> 24));
    }
    EXPECT_EQ(again.set().usage().object_bytes, bytes);
    for (const size_t size : sizes) ASSERT_TRUE(again.remove("o" + std::to_string(size)));
    expect_parts(again, 0);
}

TEST_F(StripeTest, BodiesThatDoNotSayTheirSize) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    for (const size_t size :
         {size_t{0}, size_t{100}, size_t{300'000}, size_t{300'001}, size_t{3'000'000}}) {
        const std::string content = content_of(size, size);
        io::Body body(std::make_unique<PiecewiseSource>(loop_.buffers, content, false, 70'000));
        const auto stored =
            harness.run(harness.set().put(0, SetHarness::name("x"), std::move(body), striped()));
        ASSERT_TRUE(stored) << stored.error().context;
        EXPECT_EQ(stored->part_count > 0, size > 300'000) << size;
        EXPECT_TRUE(*harness.get("x") == content);
    }
}

TEST_F(StripeTest, WhatIsRefusedLeavesNothing) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    const std::string content = content_of(1, 3'000'000);
    const auto expect_refused = [&](io::Body body, PutOptions options, Errc code) {
        const auto stored = harness.run(
            harness.set().put(0, SetHarness::name("x"), std::move(body), std::move(options)));
        ASSERT_FALSE(stored);
        EXPECT_EQ(stored.error().code, code) << stored.error().context;
        expect_parts(harness, 0);
    };
    for (const size_t breaks_at : {size_t{400'000}, size_t{2'900'000}}) {
        for (const bool says_size : {true, false}) {
            expect_refused(io::Body(std::make_unique<PiecewiseSource>(
                               loop_.buffers, content, says_size, 50'000, breaks_at)),
                           striped(), Errc::closed);
        }
    }
    PutOptions wrong = striped();
    wrong.expected = ContentChecksum{ChecksumType::md5, 16, {}};
    expect_refused(harness.body(content), std::move(wrong), Errc::invalid);
    PutOptions conditional = striped();
    conditional.condition = {Condition::Kind::exactly, {1, 1}};
    expect_refused(harness.body(content), std::move(conditional), Errc::condition_failed);
    EXPECT_EQ(harness.get("x").error().code, Errc::not_found);
}

TEST_F(StripeTest, ChangesOfAllKinds) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
    const std::string first = content_of(1, 5 * unit);
    const std::string second = content_of(2, 7 * unit);
    ASSERT_TRUE(put(harness, "x", first));
    expect_parts(harness, 3);
    ASSERT_TRUE(harness.run(harness.set().set_custom(0, SetHarness::name("x"), {{"k", "v"}}, false,
                                                     Durability::group)));
    EXPECT_TRUE(*harness.get("x") == first);
    const auto again = put(harness, "x", second);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->display_version, 2U);
    EXPECT_TRUE(*harness.get("x") == second);
    expect_parts(harness, again->part_count);
    // By reference neither can be: whoever asks copies the bytes.
    EXPECT_EQ(harness.run(harness.set().copy(0, SetHarness::name("x"), SetHarness::name("y"), {}))
                  .error()
                  .code,
              Errc::not_implemented);
    EXPECT_EQ(
        harness.run(harness.set().rename(0, SetHarness::name("x"), SetHarness::name("y"), true))
            .error()
            .code,
        Errc::not_implemented);
    const auto handle =
        harness.run(harness.set().append(0, SetHarness::name("x"), "", harness.body("tail")));
    ASSERT_TRUE(handle) << handle.error().context;
    ASSERT_TRUE(harness.run(harness.set().flush(0, SetHarness::name("x"), *handle, true)));
    EXPECT_TRUE(*harness.get("x") == second + "tail");
    expect_parts(harness, 0);
    ASSERT_TRUE(put(harness, "x", first));
    ASSERT_TRUE(harness.put("x", "small"));
    EXPECT_EQ(*harness.get("x"), "small");
    expect_parts(harness, 0);
    ASSERT_TRUE(put(harness, "x", first));
    const auto removed = harness.run(
        harness.set().remove_many(0, {1}, "bucket", {std::string_view("x")}, Durability::group));
    ASSERT_TRUE(removed && (*removed)[0]);
    expect_parts(harness, 0);
    ASSERT_TRUE(put(harness, "x", first));
    harness.set().forget_bucket({1});
    expect_parts(harness, 0);
}

TEST_F(StripeTest, WhoReadsKeepsWhatIsReplaced) {
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    const std::string old = content_of(1, 40 * unit);
    ASSERT_TRUE(put(harness, "x", old));
    const uint64_t old_parts = parts(harness);
    auto opened = harness.run(harness.set().get(0, SetHarness::name("x"), {}));
    ASSERT_TRUE(opened);
    ASSERT_TRUE(harness.put("x", "new"));
    for (int turn = 0; turn < 100; ++turn) pause(harness);
    // The first is gone, so that nobody begins any more; the others wait for who reads.
    EXPECT_EQ(parts(harness), old_parts - 1);
    const auto read = harness.read(std::move(opened->body));
    ASSERT_TRUE(read) << read.error().context;
    EXPECT_TRUE(*read == old);
    expect_parts(harness, 0);
    EXPECT_EQ(*harness.get("x"), "new");
}

TEST_F(StripeTest, PartsGoWithMountpathsThatComeAndGo) {
    const std::string content = content_of(1, 30 * unit + 11);
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    std::vector<std::string> names;
    for (int number = 0; number < 6; ++number) {
        names.push_back("o" + std::to_string(number));
        ASSERT_TRUE(put(harness, names.back(), content));
    }
    const uint64_t count = parts(harness);
    const auto expect_all = [&](const char* when) {
        for (const std::string& name : names) {
            const auto got = harness.get(name);
            ASSERT_TRUE(got) << when << ": " << got.error().context;
            ASSERT_TRUE(*got == content) << when;
        }
    };
    harness.plug(c_);
    ASSERT_TRUE(harness.run(harness.set().attach(0, "/c")));
    expect_all("while they move");
    ASSERT_TRUE(harness.run(harness.set().settle(0)));
    expect_all("after one came");
    EXPECT_GT(parts_at(harness, "/c"), 0U);
    expect_parts(harness, count);
    for (const char* path : {"/a", "/b"}) {
        const Status detached = harness.run(harness.set().detach(0, path, false));
        ASSERT_TRUE(detached) << detached.error().context;
        expect_all(path);
        expect_parts(harness, count);
    }
    // One is left: nothing is cut any more, and what was is read.
    const auto plain = put(harness, "plain", content);
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->part_count, 0U);
    harness.stop();
    ASSERT_TRUE(harness.begin({&c_}));
    expect_all("after a start");
    for (const std::string& name : names) ASSERT_TRUE(harness.remove(name));
    expect_parts(harness, 0);
}

TEST_F(StripeTest, ALostMountpathIsAnError) {
    const std::string content = content_of(1, 9 * unit);
    uint64_t whole = 0;
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_, &c_}));
        for (int number = 0; number < 12; ++number) {
            ASSERT_TRUE(put(harness, "o" + std::to_string(number), content));
        }
        ASSERT_TRUE(*harness.run(harness.set().disable(0, "/b")));
        for (int number = 0; number < 12; ++number) {
            EXPECT_EQ(harness.get("o" + std::to_string(number)).error().code, Errc::unavailable);
        }
        // New ones lie on those that are in service.
        for (int number = 20; number < 30; ++number) {
            const auto stored = put(harness, "o" + std::to_string(number), content);
            if (!stored) EXPECT_EQ(stored.error().code, Errc::unavailable);
            if (!stored) continue;
            whole += 1;
            EXPECT_TRUE(*harness.get("o" + std::to_string(number)) == content);
        }
        EXPECT_GT(whole, 2U);
        ASSERT_TRUE(*harness.run(harness.set().enable(0, "/b")));
        for (int number = 0; number < 12; ++number) {
            EXPECT_TRUE(*harness.get("o" + std::to_string(number)) == content);
        }
    }
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &c_}, true));
    for (int number = 0; number < 12; ++number) {
        EXPECT_EQ(harness.get("o" + std::to_string(number)).error().code, Errc::unavailable);
    }
    // Given up with what it had: what had a part there is damaged, and says so.
    ASSERT_TRUE(harness.run(harness.set().detach(0, "/b", true)));
    for (int number = 0; number < 12; ++number) {
        const std::string name = "o" + std::to_string(number);
        const auto got = harness.get(name);
        ASSERT_FALSE(got);
        const bool was_there = got.error().code == Errc::not_found;
        EXPECT_TRUE(was_there || got.error().code == Errc::corrupt) << got.error().context;
        const auto verified = harness.run(harness.set().verify(0, SetHarness::name(name)));
        EXPECT_EQ(verified.error().code, got.error().code);
        if (!was_there) ASSERT_TRUE(harness.remove(name));
    }
}

TEST_F(StripeTest, DamageIsFound) {
    {
        SetHarness harness(loop_);
        ASSERT_TRUE(harness.begin({&a_, &b_}));
        ASSERT_TRUE(put(harness, "x", content_of(1, 9 * unit)));
    }
    const auto files = b_.storage.make_blocking_disk()->list("objects");
    ASSERT_TRUE(files && !files->empty());
    ASSERT_TRUE(b_.storage.flip_bit("objects/" + files->front().name, 8 * 1000));
    SetHarness harness(loop_);
    ASSERT_TRUE(harness.begin({&a_, &b_}));
    EXPECT_EQ(harness.get("x").error().code, Errc::corrupt);
    EXPECT_EQ(harness.run(harness.set().verify(0, SetHarness::name("x"))).error().code,
              Errc::corrupt);
}

// -------------------------------------------------------------------------------------------------
// Each call fails in turn, and the power goes at each

Status overwrite(SetHarness& harness) {
    PutOptions options = StripeTest::striped();
    const auto stored = harness.put("x", content_of(3, 9 * unit), std::move(options));
    if (!stored) return fail(stored.error());
    return {};
}
Status remove_x(SetHarness& harness) {
    return harness.remove("x");
}

TEST_F(StripeMoveTest, PowerIsCutWhileAMountpathComes) {
    try_everywhere(true, true, attach_b);
}

TEST_F(StripeMoveTest, PowerIsCutWhileAMountpathGoes) {
    try_everywhere(false, true, detach_b);
}

TEST_F(StripeMoveTest, EachCallFailsWhileAMountpathComes) {
    try_everywhere(true, false, attach_b);
}

TEST_F(StripeMoveTest, EachCallFailsWhileAMountpathGoes) {
    try_everywhere(false, false, detach_b);
}

TEST_F(StripeCutTest, PowerIsCutWhileOneIsOverwritten) {
    cut_everywhere(overwrite, content_of(3, 9 * unit), 30);
}

TEST_F(StripeCutTest, PowerIsCutWhileOneIsRemoved) {
    cut_everywhere(remove_x, std::nullopt, 6);
}

TEST_F(StripeCutTest, EachCallFailsWhileOneIsOverwritten) {
    fail_everywhere(overwrite, content_of(3, 9 * unit), 40);
}

TEST_F(StripeCutTest, EachCallFailsWhileOneIsRemoved) {
    fail_everywhere(remove_x, std::nullopt, 8);
}

}  // namespace
}  // namespace penstock::node
