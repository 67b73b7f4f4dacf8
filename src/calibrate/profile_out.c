/* SPDX-License-Identifier: MIT */
/* Sections of the file and the measurements they hold. A measurement done again replaces its
 * entry; what a section holds of other GPUs' or programs' making stays as it is. Malformed
 * entries are left to the simulator's reader, which names them. */
#include "profile_out.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The section of each kind of measurement; sustained loops add to the kernels' entries. */
static const char *const sections[N_MEASURE_KINDS] = {
    [MEASURE_KERNEL] = "kernels",
    [MEASURE_SUSTAINED] = "kernels",
    [MEASURE_INTERFERENCE] = "interference",
    [MEASURE_CHAIN] = "factors",
    [MEASURE_LAUNCH] = "launch",
    [MEASURE_TRANSFER] = "transfers",
    [MEASURE_COLLECTIVE] = "collectives",
};

static const char *const section_order[] = {"kernels", "absent",    "interference", "factors",
                                            "launch",  "transfers", "collectives"};

static json_t *section(const ProfileOut *out, const char *name)
{
    json_t *array = json_object_get(out->root, name);
    if (array)
        return array;
    array = json_array();
    json_object_set_new(out->root, name, array);
    return array;
}

static json_t *begin(const char *gpu)
{
    return json_pack("{s:s, s:i, s:s, s:{}, s:{}, s:[]}", "format", "zerosim-profile",
                     "version", 1, "gpu", gpu, "facts", "provenance", "kernels");
}

static bool check(const ProfileOut *out, const char *gpu, char *message, size_t size)
{
    const char *format = json_string_value(json_object_get(out->root, "format"));
    const char *name = json_string_value(json_object_get(out->root, "gpu"));
    if (!format || strcmp(format, "zerosim-profile") != 0 || !name ||
        !json_is_object(json_object_get(out->root, "facts"))) {
        snprintf(message, size,
                 "%s: isn't a profile (format, gpu, facts); give another --output", out->file);
        return false;
    }
    for (size_t i = 0; i < sizeof section_order / sizeof *section_order; i++) {
        const json_t *value = json_object_get(out->root, section_order[i]);
        if (value && !json_is_array(value)) {
            snprintf(message, size, "%s: %s: must be an array", out->file, section_order[i]);
            return false;
        }
    }
    if (strcmp(name, gpu) == 0)
        return true;
    snprintf(message, size, "%s: is the profile of %s, and this is %s; give another --output",
             out->file, name, gpu);
    return false;
}

bool profile_out_open(ProfileOut *out, const char *file, const char *gpu, char *message,
                      size_t size)
{
    json_error_t error;
    out->file = strdup(file);
    out->root = NULL;
    out->run = NULL;
    if (access(file, F_OK) != 0) {
        out->root = begin(gpu);
        return true;
    }
    out->root = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
    if (!out->root) {
        snprintf(message, size, "%s: line %d: %s", file, error.line, error.text);
        return false;
    }
    return check(out, gpu, message, size);
}

void profile_out_close(ProfileOut *out)
{
    json_decref(out->root);
    free(out->file);
}

static json_t *dimensions(const Measurement *m)
{
    json_t *object = json_object();
    for (size_t i = 0; i < plan_n_dimensions(m->op); i++)
        json_object_set_new(object, m->op->dimensions[i], json_integer(m->dimension[i]));
    return object;
}

static bool is_entry(const json_t *entry, const Measurement *m, const json_t *shape)
{
    const char *op = json_string_value(json_object_get(entry, "op"));
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    return op && type && strcmp(op, m->op->name) == 0 &&
           strcmp(type, plan_type_name(m->type)) == 0 &&
           json_equal(json_object_get(entry, "dimensions"), shape);
}

/* The entry's index, or the array's length. */
static size_t find(const json_t *array, const Measurement *m, const json_t *shape)
{
    size_t i = 0;
    while (i < json_array_size(array) && !is_entry(json_array_get(array, i), m, shape))
        i++;
    return i;
}

bool profile_out_has(const ProfileOut *out, const Measurement *m)
{
    json_t *shape = dimensions(m);
    const json_t *array = json_object_get(out->root, sections[m->kind]);
    const json_t *absent = json_object_get(out->root, "absent");
    const json_t *entry = json_array_get(array, find(array, m, shape));
    const bool has = m->kind == MEASURE_SUSTAINED
                         ? json_object_get(entry, "sustained_s") != NULL
                         : entry != NULL;
    const bool settled = has || find(absent, m, shape) < json_array_size(absent);
    json_decref(shape);
    return settled;
}

static void put(json_t *array, const Measurement *m, json_t *entry)
{
    const json_t *shape = json_object_get(entry, "dimensions");
    const size_t at = find(array, m, shape);
    if (at < json_array_size(array))
        json_array_set_new(array, at, entry);
    else
        json_array_append_new(array, entry);
}

static json_t *entry_of(const Measurement *m)
{
    return json_pack("{s:s, s:s, s:o}", "op", m->op->name, "dtype", plan_type_name(m->type),
                     "dimensions", dimensions(m));
}

static void add_times(json_t *entry, const Measurement *m, const Result *result)
{
    json_object_set_new(entry, "time_s", json_real(result->time_s));
    json_object_set_new(entry, "p10_s", json_real(result->p10_s));
    json_object_set_new(entry, "p90_s", json_real(result->p90_s));
    if (result->sustained_s > 0)
        json_object_set_new(entry, "sustained_s", json_real(result->sustained_s));
    for (int i = 0; i < result->n_values; i++)
        json_object_set_new(entry, result->values[i].name, json_real(result->values[i].value));
    json_object_set_new(entry, "implementation", json_string(result->implementation));
    if (m->probe)
        json_object_set_new(entry, "probe", json_true());
}

/* A loop's time joins the entry that its burst has; a probe stays one. */
static void keep_flags(const ProfileOut *out, const Measurement *m, json_t *entry)
{
    const json_t *array = section(out, sections[m->kind]);
    const json_t *shape = json_object_get(entry, "dimensions");
    const json_t *old = json_array_get(array, find(array, m, shape));
    json_t *sustained = json_object_get(old, "sustained_s");
    if (json_object_get(old, "probe"))
        json_object_set_new(entry, "probe", json_true());
    if (sustained && !json_object_get(entry, "sustained_s"))
        json_object_set(entry, "sustained_s", sustained);
}

void profile_out_add(ProfileOut *out, const Measurement *m, const Result *result)
{
    json_t *entry = entry_of(m);
    if (result->status != RESULT_MEASURED) {
        const char *what = result->status == RESULT_WRONG ? "wrong result" : "absent";
        json_object_set_new(entry, "status", json_string(what));
        json_object_set_new(entry, "reason", json_string(result->reason));
        put(section(out, "absent"), m, entry);
        return;
    }
    add_times(entry, m, result);
    if (m->kind == MEASURE_KERNEL || m->kind == MEASURE_SUSTAINED)
        keep_flags(out, m, entry);
    put(section(out, sections[m->kind]), m, entry);
}

/* Names, versions and numbers; nothing of whose machine it is. */
static json_t *run_record(const Machine *m, const char *command_line)
{
    char date[32];
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%Y-%m-%d", &utc);
    json_t *run = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "date", date, "command_line",
                            command_line, "driver", m->driver, "cuda", m->cuda, "cublaslt",
                            m->cublaslt, "cudnn", m->cudnn, "nccl", m->nccl);
    json_object_set_new(run, "device", json_string(m->name));
    json_object_set_new(run, "n_gpus", json_integer(m->n_gpus));
    json_object_set_new(run, "power_limit_w", json_real(m->power_limit_w));
    json_object_set_new(run, "temperature_c", json_real(m->temperature_c));
    json_object_set_new(run, "sm_clock_hz", json_real(m->sm_clock_hz));
    json_object_set_new(run, "max_sm_clock_hz", json_real(m->max_sm_clock_hz));
    json_object_set_new(run, "max_memory_clock_hz", json_real(m->max_memory_clock_hz));
    return run;
}

void profile_out_describe(ProfileOut *out, const Machine *machine, const char *command_line)
{
    json_t *provenance = json_object_get(out->root, "provenance");
    if (!json_is_object(provenance)) {
        provenance = json_object();
        json_object_set_new(out->root, "provenance", provenance);
    }
    json_object_set_new(provenance, "kind", json_string("measured"));
    json_object_set_new(provenance, "program", json_string("zerosim-calibrate"));
    json_object_del(provenance, "note");
    json_t *runs = json_object_get(provenance, "runs");
    if (!runs) {
        runs = json_array();
        json_object_set_new(provenance, "runs", runs);
    }
    json_t *record = run_record(machine, command_line);
    if (out->run) {
        json_object_update(out->run, record);
        json_decref(record);
    } else {
        out->run = record;
        json_array_append_new(runs, record);
    }
    profile_facts_set(json_object_get(out->root, "facts"), section(out, "kernels"),
                      json_object_get(out->root, "launch"), machine);
}

static void write_value(FILE *file, const char *name, const json_t *value, bool last)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    fprintf(file, "  \"%s\": %s%s\n", name, text ? text : "null", last ? "" : ",");
    free(text);
}

/* One entry a line, so that a version-control difference shows what changed. */
static void write_lines(FILE *file, const char *name, const json_t *value, bool last)
{
    const bool object = json_is_object(value);
    const size_t n = object ? json_object_size(value) : json_array_size(value);
    void *iterator = object ? json_object_iter((json_t *)value) : NULL;
    fprintf(file, "  \"%s\": %c\n", name, object ? '{' : '[');
    for (size_t i = 0; i < n; i++) {
        const json_t *item =
            object ? json_object_iter_value(iterator) : json_array_get(value, i);
        char *text = json_dumps(item, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        fputs("    ", file);
        if (object)
            fprintf(file, "\"%s\": ", json_object_iter_key(iterator));
        fprintf(file, "%s%s\n", text ? text : "null", i + 1 < n ? "," : "");
        free(text);
        if (object)
            iterator = json_object_iter_next((json_t *)value, iterator);
    }
    fprintf(file, "  %c%s\n", object ? '}' : ']', last ? "" : ",");
}

static bool write_all(FILE *file, const json_t *root)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t left = json_object_size(root);
    fputs("{\n", file);
    json_object_foreach((json_t *)root, key, value)
    {
        left--;
        if (json_is_array(value) || json_is_object(value))
            write_lines(file, key, value, left == 0);
        else
            write_value(file, key, value, left == 0);
    }
    fputs("}\n", file);
    return fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
}

bool profile_out_write(const ProfileOut *out, char *message, size_t size)
{
    char temporary[4096];
    const int n = snprintf(temporary, sizeof temporary, "%s.part", out->file);
    FILE *file = n < (int)sizeof temporary ? fopen(temporary, "w") : NULL;
    bool written = file && write_all(file, out->root);
    if (file && fclose(file) != 0)
        written = false;
    if (written && rename(temporary, out->file) == 0)
        return true;
    snprintf(message, size, "%.3000s: can't be written: %s", out->file, strerror(errno));
    if (file)
        unlink(temporary);
    return false;
}
