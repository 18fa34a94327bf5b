-- The names of segments are 24 hexadecimal digits, of which 8 are the timeline, and no other file there has so long a name. A new
-- timeline begins with a copy of the segment where it forked off: the numbers of all timelines together tell how far back WAL goes.
SELECT coalesce(sum(size), 0)::text AS size,
       count(*) FILTER (WHERE length(name) = 24)::text AS segments,
       min(substr(name, 9) COLLATE "C") FILTER (WHERE length(name) = 24)::text AS oldest,
       pg_size_bytes(current_setting('wal_segment_size'))::text AS wal_segment_size
  FROM pg_ls_waldir()
