/* TensorBoard event files: the curves of a training run, for those who look at them there.
 *
 * One file in the run's folder. It may be torn anywhere by a crash: opening keeps the whole records of steps that are
 * to be kept and cuts off the rest, so that a resumed run reads as if it had never stopped.
 */
#ifndef FORMAT_TENSORBOARD_H
#define FORMAT_TENSORBOARD_H

#include <stdint.h>

#include "base/error.h"

#define TENSORBOARD_FILE "events.out.tfevents.carina" /* TensorBoard finds files by "tfevents" in the name */

typedef struct tensorboard tensorboard;

typedef struct tensorboard_value {
    const char *tag; /* "train/loss": the part before '/' groups charts; UTF-8 */
    double value;    /* written as float */
} tensorboard_value;

/* folder must exist. Events of steps above steps_done are dropped; 0 begins a new file. wall_time: seconds since 1970.
 */
carina_status tensorboard_open(tensorboard **out, const char *folder, uint64_t steps_done, double wall_time,
                               carina_error *error);

/* One event with all values; it is in the kernel's hands when this returns. Errors are kept for tensorboard_close. */
void tensorboard_write(tensorboard *board, uint64_t step, double wall_time, const tensorboard_value *values, int count);

/* Reports the first error of any write; frees. NULL is CARINA_OK. */
carina_status tensorboard_close(tensorboard *board, carina_error *error);

/* Length of the leading whole records with steps up to steps_done: what opening keeps of a file. */
uint64_t tensorboard_kept_size(const uint8_t *data, uint64_t size, uint64_t steps_done);

#endif
