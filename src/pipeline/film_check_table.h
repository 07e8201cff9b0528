/* What chest films usually look like, as plain statistics (tools/make_film_check_table.c). Regions in the order of
 * anatomix36; places as film_places gives them; the thorax as film_thorax does. */
#ifndef PIPELINE_FILM_CHECK_TABLE_H
#define PIPELINE_FILM_CHECK_TABLE_H

extern const float film_place_mean[36][4], film_place_deviation[36][4];
extern const float film_mean_thorax[24 * 24];

#endif
