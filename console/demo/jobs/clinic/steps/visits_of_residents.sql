SELECT v.resident_id, v.department, v.diagnosis, v.days, v.cost, v.readmitted, r.district
FROM visits v JOIN residents r ON v.resident_id = r.resident_id
