/* Human outline statistics as a table; see shape_statistics.c for source, credit and frame. */
#ifndef DATA_PHANTOM_SHAPE_STATISTICS_H
#define DATA_PHANTOM_SHAPE_STATISTICS_H

#define SHAPE_POINT_COUNT       120
#define SHAPE_MODE_COUNT        12
#define SHAPE_RIGHT_LUNG_FIRST  0
#define SHAPE_RIGHT_LUNG_POINTS 44
#define SHAPE_LEFT_LUNG_FIRST   44
#define SHAPE_LEFT_LUNG_POINTS  50
#define SHAPE_HEART_FIRST       94
#define SHAPE_HEART_POINTS      26

extern const float shape_statistics_mean[SHAPE_POINT_COUNT * 2]; /* x, y of each point */
extern const float shape_statistics_deviation[SHAPE_MODE_COUNT]; /* of each mode's coefficient */
extern const float shape_statistics_mode[SHAPE_MODE_COUNT][SHAPE_POINT_COUNT * 2];

#endif
