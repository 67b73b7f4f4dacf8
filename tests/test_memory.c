/* SPDX-License-Identifier: MIT */
/* The walk over a schedule's allocations, and the caching allocator's segments against numbers
 * worked out by hand from CUDACachingAllocator.cpp's constants. */
#include "memory.h"
#include "memory_allocator.h"
#include "suite_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((gint64)1 << 20)
#define GIB ((gint64)1 << 30)

static int take(Schedule *schedule, MemoryCategory category, gint64 bytes)
{
    return schedule_alloc(schedule, STREAM_COMPUTE, PHASE_FORWARD, "block", category, bytes);
}

static void give_back(Schedule *schedule, int alloc)
{
    schedule_release(schedule, STREAM_COMPUTE, PHASE_BACKWARD, alloc);
}

static gint64 sum(const gint64 *values)
{
    gint64 total = 0;
    for (int c = 0; c < N_MEMORY_CATEGORIES; c++)
        total += values[c];
    return total;
}

/* The peak is where the categories together are largest, not where one of them is. */
START_TEST(test_peak_names_its_op_and_categories)
{
    g_autoptr(Schedule) schedule = schedule_new();
    schedule_persistent(schedule, "parameters", MEMORY_PARAMETERS, 100 * MIB);
    int early = take(schedule, MEMORY_TEMPORARIES, 50 * MIB);
    give_back(schedule, early);
    int a = take(schedule, MEMORY_ACTIVATIONS, 30 * MIB);
    int b = take(schedule, MEMORY_GRADIENTS, 40 * MIB);
    give_back(schedule, a);
    give_back(schedule, b);

    Memory memory = memory_compute(schedule, GIB);

    ck_assert_int_eq(memory.peak_bytes, 170 * MIB);
    ck_assert_int_eq(memory.peak_op, b);
    ck_assert_int_eq(memory.by_category_at_peak[MEMORY_PARAMETERS], 100 * MIB);
    ck_assert_int_eq(memory.by_category_at_peak[MEMORY_ACTIVATIONS], 30 * MIB);
    ck_assert_int_eq(memory.by_category_at_peak[MEMORY_GRADIENTS], 40 * MIB);
    ck_assert_int_eq(memory.by_category_at_peak[MEMORY_TEMPORARIES], 0);
    ck_assert_int_eq(sum(memory.by_category_at_peak), memory.peak_bytes);
    ck_assert_int_eq(memory.start_bytes, 100 * MIB);
    ck_assert_int_eq(memory.end_bytes, memory.start_bytes);
    ck_assert(memory.fits);
}
END_TEST

/* Without allocations the peak is what was there before the step. */
START_TEST(test_peak_before_the_first_op)
{
    g_autoptr(Schedule) schedule = schedule_new();
    schedule_persistent(schedule, "parameters", MEMORY_PARAMETERS, 7);

    Memory memory = memory_compute(schedule, GIB);

    ck_assert_int_eq(memory.peak_op, -1);
    ck_assert_int_eq(memory.peak_bytes, 7);
    ck_assert_int_eq(sum(memory.by_category_at_peak), 7);
    ck_assert_int_eq(memory.reserved_bytes, 2 * MIB);
}
END_TEST

/* The CUDA context isn't the allocator's: it counts to the byte, in no segment. */
START_TEST(test_framework_memory_bypasses_the_allocator)
{
    g_autoptr(Schedule) schedule = schedule_new();
    schedule_persistent(schedule, "CUDA context", MEMORY_FRAMEWORK, 500 * MIB + 1);
    int a = take(schedule, MEMORY_ACTIVATIONS, 12 * MIB);
    give_back(schedule, a);

    Memory fits = memory_compute(schedule, 512 * MIB + 1);
    Memory fails = memory_compute(schedule, 512 * MIB);

    ck_assert_int_eq(fits.reserved_bytes, 512 * MIB + 1);
    ck_assert(fits.fits);
    ck_assert(!fails.fits);
    ck_assert_int_eq(fails.reserved_bytes, 512 * MIB + 1);
    ck_assert_int_eq(fails.peak_bytes, fits.peak_bytes);
}
END_TEST

/* Requests round to 512 B in 2 MiB segments up to 1 MiB, in 20 MiB segments below 10 MiB, and
 * have segments of their own in steps of 2 MiB from there on. */
START_TEST(test_segment_of_each_request_size)
{
    static const struct {
        gint64 bytes, segment;
    } rows[] = {
        {1, 2 * MIB},         {MIB, 2 * MIB},
        {MIB + 1, 20 * MIB},  {10 * MIB - 512, 20 * MIB},
        {10 * MIB, 10 * MIB}, {10 * MIB + 1, 12 * MIB},
        {33 * MIB, 34 * MIB},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(MemoryAllocator) allocator = memory_allocator_new(1, GIB);
        MemoryBlock *block = memory_allocator_take(allocator, 0, rows[i].bytes);
        ck_assert_int_eq(allocator->segment_bytes, rows[i].segment);
        memory_allocator_give_back(allocator, block);
    }
}
END_TEST

/* 4096 requests of 512 B or less fill one small segment; one more opens the next. */
START_TEST(test_small_blocks_share_a_segment)
{
    g_autoptr(MemoryAllocator) allocator = memory_allocator_new(1, GIB);
    MemoryBlock *blocks[4097];
    for (int i = 0; i < 4096; i++)
        blocks[i] = memory_allocator_take(allocator, 0, 1 + i % 512);
    ck_assert_int_eq(allocator->segment_bytes, 2 * MIB);
    blocks[4096] = memory_allocator_take(allocator, 0, 1);
    ck_assert_int_eq(allocator->segment_bytes, 4 * MIB);
    for (int i = 0; i < 4097; i++)
        memory_allocator_give_back(allocator, blocks[i]);
}
END_TEST

/* A large block is split only when more than 1 MiB is left, so a request 1 MiB smaller takes
 * it whole, and a further one finds nothing. */
START_TEST(test_large_block_is_split_above_one_mebibyte)
{
    static const struct {
        gint64 first, then, segments;
    } rows[] = {{31 * MIB, 1 * MIB + 512, 52 * MIB}, {30 * MIB, 2 * MIB, 32 * MIB}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(MemoryAllocator) allocator = memory_allocator_new(1, GIB);
        memory_allocator_give_back(allocator, memory_allocator_take(allocator, 0, 32 * MIB));
        MemoryBlock *a = memory_allocator_take(allocator, 0, rows[i].first);
        MemoryBlock *b = memory_allocator_take(allocator, 0, rows[i].then);
        ck_assert_int_eq(allocator->segment_bytes, rows[i].segments);
        memory_allocator_give_back(allocator, a);
        memory_allocator_give_back(allocator, b);
    }
}
END_TEST

/* Freed neighbours become one block again, whatever the order in which they are freed. */
START_TEST(test_neighbours_merge)
{
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}};
    for (gsize i = 0; i < G_N_ELEMENTS(orders); i++) {
        g_autoptr(MemoryAllocator) allocator = memory_allocator_new(1, GIB);
        MemoryBlock *blocks[3];
        memory_allocator_give_back(allocator, memory_allocator_take(allocator, 0, 60 * MIB));
        for (int j = 0; j < 3; j++)
            blocks[j] = memory_allocator_take(allocator, 0, 20 * MIB);
        for (int j = 0; j < 3; j++)
            memory_allocator_give_back(allocator, blocks[orders[i][j]]);
        MemoryBlock *whole = memory_allocator_take(allocator, 0, 60 * MIB);
        ck_assert_int_eq(allocator->segment_bytes, 60 * MIB);
        memory_allocator_give_back(allocator, whole);
    }
}
END_TEST

/* Of two free blocks that are large enough, the smaller serves a request. */
START_TEST(test_best_fit)
{
    g_autoptr(MemoryAllocator) allocator = memory_allocator_new(1, GIB);
    MemoryBlock *large = memory_allocator_take(allocator, 0, 40 * MIB);
    MemoryBlock *small = memory_allocator_take(allocator, 0, 24 * MIB);
    memory_allocator_give_back(allocator, large);
    memory_allocator_give_back(allocator, small);
    MemoryBlock *a = memory_allocator_take(allocator, 0, 24 * MIB);
    MemoryBlock *b = memory_allocator_take(allocator, 0, 40 * MIB);
    ck_assert_int_eq(allocator->segment_bytes, 64 * MIB);
    memory_allocator_give_back(allocator, a);
    memory_allocator_give_back(allocator, b);
}
END_TEST

/* What one stream has freed can't serve another: it stays cached for its own. */
START_TEST(test_streams_do_not_share_blocks)
{
    g_autoptr(MemoryAllocator) allocator = memory_allocator_new(2, GIB);
    memory_allocator_give_back(allocator, memory_allocator_take(allocator, 0, 20 * MIB));
    MemoryBlock *other = memory_allocator_take(allocator, 1, 20 * MIB);
    ck_assert_int_eq(allocator->segment_bytes, 40 * MIB);
    memory_allocator_give_back(allocator, other);
}
END_TEST

/* Before it gives up, the allocator returns segments without a block in use; a segment that
 * still holds one stays. Then it runs out, says so, and goes on. */
START_TEST(test_cache_is_released_before_running_out)
{
    g_autoptr(MemoryAllocator) allocator = memory_allocator_new(2, 100 * MIB);
    memory_allocator_give_back(allocator, memory_allocator_take(allocator, 0, 60 * MIB));
    MemoryBlock *a = memory_allocator_take(allocator, 1, 80 * MIB);
    ck_assert_int_eq(allocator->segment_bytes, 80 * MIB);
    ck_assert(!allocator->out_of_memory);

    MemoryBlock *b = memory_allocator_take(allocator, 0, 30 * MIB);
    ck_assert(allocator->out_of_memory);
    ck_assert_int_eq(allocator->peak_reserved_bytes, 110 * MIB);
    memory_allocator_give_back(allocator, a);
    memory_allocator_give_back(allocator, b);
}
END_TEST

/* Reserved is at least allocated for random sequences, the streams' bytes come back to nothing,
 * and all segments can be released in the end: no block was lost in splits and merges. */
START_TEST(test_random_sequences_lose_no_block)
{
    enum { N_LIVE = 200 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(7 + (guint32)_i);
    g_autoptr(MemoryAllocator) allocator = memory_allocator_new(3, 1024 * GIB);
    MemoryBlock *live[N_LIVE] = {NULL};
    gint64 bytes[N_LIVE] = {0}, allocated = 0;
    for (int i = 0; i < 20000; i++) {
        int slot = g_rand_int_range(rand, 0, N_LIVE);
        if (live[slot] != NULL)
            memory_allocator_give_back(allocator, live[slot]);
        allocated -= bytes[slot];
        bytes[slot] = (gint64)1 << g_rand_int_range(rand, 0, 27);
        bytes[slot] += g_rand_int_range(rand, 0, 1000);
        allocated += bytes[slot];
        live[slot] =
            memory_allocator_take(allocator, g_rand_int_range(rand, 0, 3), bytes[slot]);
        ck_assert_int_ge(allocator->segment_bytes, allocated);
    }
    for (int slot = 0; slot < N_LIVE; slot++)
        if (live[slot] != NULL)
            memory_allocator_give_back(allocator, live[slot]);
    memory_allocator_take_outside(allocator, 1024 * GIB);
    ck_assert_int_eq(allocator->segment_bytes, 0);
    ck_assert(!allocator->out_of_memory);
}
END_TEST

/* The CSV begins with the persistent bytes, ends with them, and its times never go back. */
START_TEST(test_csv_returns_to_where_it_began)
{
    g_autoptr(Schedule) schedule = schedule_new();
    schedule_persistent(schedule, "parameters", MEMORY_PARAMETERS, 1000);
    int a = take(schedule, MEMORY_ACTIVATIONS, 500);
    schedule_compute(schedule, STREAM_COMPUTE, PHASE_FORWARD, "forward", NULL, 0, NULL);
    int b = take(schedule, MEMORY_TEMPORARIES, 20);
    give_back(schedule, b);
    schedule_compute(schedule, STREAM_COMPUTE, PHASE_BACKWARD, "backward", NULL, 0, NULL);
    give_back(schedule, a);
    int n_ops = 6;
    gint64 first = 0;
    double start_s[] = {0, 0, 0, 0, 0.5, 0}, end_s[] = {0, 0.5, 0, 0, 1.5, 0};
    Timeline timeline = {.n_ranks = 1,
                         .n_ops = &n_ops,
                         .first = &first,
                         .n_times = 6,
                         .start_s = start_s,
                         .end_s = end_s,
                         .step_time_s = 1.5};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    memory_csv_write(schedule, &timeline, 0, out);
    fclose(out);

    ck_assert_str_eq(
        text, "time_s,op,parameters_bytes,gradients_bytes,optimizer_states_bytes,"
              "master_weights_bytes,activations_bytes,gathered_parameters_bytes,"
              "communication_buffers_bytes,temporaries_bytes,framework_bytes,total_bytes\n"
              "0.000000000,start,1000,0,0,0,0,0,0,0,0,1000\n"
              "0.000000000,\"alloc block\",1000,0,0,0,500,0,0,0,0,1500\n"
              "0.500000000,\"alloc block\",1000,0,0,0,500,0,0,20,0,1520\n"
              "0.500000000,\"free block\",1000,0,0,0,500,0,0,0,0,1500\n"
              "1.500000000,\"free block\",1000,0,0,0,0,0,0,0,0,1000\n");
    ck_assert_double_eq(memory_time_s(schedule, &timeline, 0, b), 0.5);
    ck_assert_double_eq(memory_time_s(schedule, &timeline, 0, -1), 0);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *tcase = tcase_create("memory");

    tcase_add_test(tcase, test_peak_names_its_op_and_categories);
    tcase_add_test(tcase, test_peak_before_the_first_op);
    tcase_add_test(tcase, test_framework_memory_bypasses_the_allocator);
    tcase_add_test(tcase, test_segment_of_each_request_size);
    tcase_add_test(tcase, test_small_blocks_share_a_segment);
    tcase_add_test(tcase, test_large_block_is_split_above_one_mebibyte);
    tcase_add_test(tcase, test_neighbours_merge);
    tcase_add_test(tcase, test_best_fit);
    tcase_add_test(tcase, test_streams_do_not_share_blocks);
    tcase_add_test(tcase, test_cache_is_released_before_running_out);
    tcase_add_loop_test(tcase, test_random_sequences_lose_no_block, 0, 5);
    tcase_add_test(tcase, test_csv_returns_to_where_it_began);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
